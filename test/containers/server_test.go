package containers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"github.com/gvpocr/worker/test/backend"
)

// mainServerName is the main server's name in the network of the workers, and the only one that they can resolve.
const mainServerName = "main-server"

// mainServer is the main server: one container, or, with official images, several that share one's address. Its data is
// in a volume.
type mainServer struct {
	scene      *scene
	volume     string
	containers []testcontainers.Container // the first has the address
	backend    *backend.Backend           // of the ports that are published at present
}

func newMainServer(s *scene) *mainServer {
	s.t.Helper()
	m := &mainServer{scene: s, volume: "gvpocr-test-" + uuid.NewString()}
	s.t.Cleanup(func() {
		m.disconnect()
		m.remove()
		if _, err := s.engine.VolumeRemove(s.cleanupContext(), m.volume, client.VolumeRemoveOptions{}); err != nil {
			s.t.Error(err)
		}
	})
	m.create()
	return m
}

// create makes the containers and waits until the services answer.
func (m *mainServer) create() {
	s := m.scene
	s.t.Helper()
	flags := []string{"--msg-timeout=10s", "--sync-every=1", "--broadcast-address=gvpocr-nsqd"}
	services := []string{"backend"}
	var others []func()
	if image := os.Getenv("MONGO_IMAGE"); image == "" {
		services = append(services, "mongodb")
	} else {
		others = append(others, func() {
			m.beside(image, []string{"--quiet"}, map[string]string{
				"MONGO_INITDB_ROOT_USERNAME": mongoUser, "MONGO_INITDB_ROOT_PASSWORD": mongoPassword, "MONGO_INITDB_DATABASE": "gvpocr",
			}, "/data/db")
		})
	}
	if image := os.Getenv("NSQ_IMAGE"); image == "" {
		services = append(services, "nsqlookupd", "nsqd")
	} else {
		others = append(others,
			func() { m.beside(image, []string{"/nsqlookupd", "--broadcast-address=gvpocr-nsqlookupd"}, nil, "") },
			func() {
				m.beside(image, append([]string{"/nsqd", "--data-path=/data", "--lookupd-tcp-address=127.0.0.1:4160",
					"--mem-queue-size=0"}, flags...), nil, "/data")
			})
	}
	owner, err := testcontainers.Run(s.ctx, serverImage,
		testcontainers.WithCmd(append([]string{"-dir=/data", "-host=0.0.0.0", "-mem-queue-size=-1",
			"-services=" + strings.Join(services, ",")}, flags...)...),
		testcontainers.WithExposedPorts(published...),
		// Inside, as on a main server of today, the services have these names. The workers' network has none of them.
		tcnetwork.WithNetwork([]string{"gvpocr-mongodb", "gvpocr-nsqd", "gvpocr-nsqlookupd", "gvpocr-backend"}, s.inside),
		tcnetwork.WithNetwork([]string{mainServerName}, s.outside),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.NetworkMode = container.NetworkMode(s.inside.Name)
			c.Binds = []string{m.volume + ":/data"}
			c.PortBindings = network.PortMap{}
			for _, port := range published {
				c.PortBindings[network.MustParsePort(port)] = []network.PortBinding{{HostIP: netip.MustParseAddr("127.0.0.1")}}
			}
		}))
	m.add(owner, err)
	for _, start := range others {
		start()
	}
	m.connect()
}

// published are the ports of MongoDB, nsqd and the backend.
var published = []string{"27017/tcp", "4150/tcp", "4151/tcp", "5000/tcp"}

const mongoUser, mongoPassword = "gvpocr_admin", "gvp@123"

// beside starts a container that shares the first one's network. A part of the volume is mounted at data.
func (m *mainServer) beside(image string, cmd []string, env map[string]string, data string) {
	m.scene.t.Helper()
	c, err := testcontainers.Run(m.scene.ctx, image, testcontainers.WithCmd(cmd...), testcontainers.WithEnv(env),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.NetworkMode = container.NetworkMode("container:" + m.containers[0].GetContainerID())
			if data != "" {
				c.Binds = []string{m.volume + ":" + data}
			}
		}))
	m.add(c, err)
}

func (m *mainServer) add(c *testcontainers.DockerContainer, err error) {
	s := m.scene
	s.t.Helper()
	if c != nil {
		m.containers = append(m.containers, c)
	}
	if err != nil {
		s.t.Fatalf("start the main server: %v", err)
	}
}

// connect connects the backend to the ports that the containers have now, when all services answer.
func (m *mainServer) connect() {
	s := m.scene
	s.t.Helper()
	m.disconnect()
	uri := "mongodb://gvpocr_admin:gvp%40123@" + m.address("27017") + "/?directConnection=true&authSource=admin"
	b, err := backend.Connect(uri, m.address("4150"))
	if err != nil {
		s.t.Fatal(err)
	}
	m.backend = b
	eventually(s.t, "the main server's services answer", func() bool {
		response, err := http.Get("http://" + m.address("4151") + "/ping")
		if err != nil {
			return false
		}
		response.Body.Close()
		_, err = b.Jobs().EstimatedDocumentCount(s.ctx)
		return err == nil
	})
}

func (m *mainServer) disconnect() {
	if m.backend != nil {
		if err := m.backend.Close(); err != nil {
			m.scene.t.Logf("the backend's connections: %v", err) // to a server that is gone
		}
		m.backend = nil
	}
}

// address is where a port is published. It changes whenever the container starts.
func (m *mainServer) address(port string) string {
	m.scene.t.Helper()
	mapped, err := m.containers[0].MappedPort(m.scene.ctx, port+"/tcp")
	if err != nil {
		m.scene.t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", mapped.Num())
}

// ip is the main server's address in the workers' network.
func (m *mainServer) ip() string {
	m.scene.t.Helper()
	info, err := m.containers[0].Inspect(m.scene.ctx)
	if err != nil {
		m.scene.t.Fatal(err)
	}
	return info.NetworkSettings.Networks[m.scene.outside.Name].IPAddress.String()
}

func (m *mainServer) stop() {
	m.scene.t.Helper()
	m.disconnect()
	timeout := 10 * time.Second
	for _, c := range slices.Backward(m.containers) {
		if err := c.Stop(m.scene.ctx, &timeout); err != nil {
			m.scene.t.Fatal(err)
		}
	}
}

func (m *mainServer) start() {
	m.scene.t.Helper()
	for _, c := range m.containers {
		if err := c.Start(m.scene.ctx); err != nil {
			m.scene.t.Fatal(err)
		}
	}
	m.connect()
}

// freeze stops the processes and leaves their connections: the kernel goes on acknowledging what they are sent.
func (m *mainServer) freeze() {
	m.scene.t.Helper()
	for _, c := range m.containers {
		if _, err := m.scene.engine.ContainerPause(m.scene.ctx, c.GetContainerID(), client.ContainerPauseOptions{}); err != nil {
			m.scene.t.Fatal(err)
		}
	}
}

func (m *mainServer) unfreeze() {
	m.scene.t.Helper()
	for _, c := range m.containers {
		if _, err := m.scene.engine.ContainerUnpause(m.scene.ctx, c.GetContainerID(), client.ContainerUnpauseOptions{}); err != nil {
			m.scene.t.Fatal(err)
		}
	}
}

// move puts another main server with the same data at another address; the name leads there.
func (m *mainServer) move() {
	s := m.scene
	s.t.Helper()
	before := m.ip()
	m.stop()
	m.remove()
	// Somebody else has the old address, and listens at other ports.
	squatter, err := testcontainers.Run(s.ctx, serverImage, testcontainers.WithCmd("-services=backend", "-dir=/"),
		tcnetwork.WithNetwork(nil, s.outside))
	testcontainers.CleanupContainer(s.t, squatter)
	if err != nil {
		s.t.Fatal(err)
	}
	m.create()
	if after := m.ip(); after == before {
		s.t.Fatalf("the main server was to move, and is at %s as before", after)
	}
}

func (m *mainServer) remove() {
	for _, c := range slices.Backward(m.containers) {
		if m.scene.t.Failed() {
			logs(m.scene.t, "the main server", c)
		}
		if err := testcontainers.TerminateContainer(c, testcontainers.StopTimeout(0)); err != nil {
			m.scene.t.Error(err)
		}
	}
	m.containers = nil
}

// channel is what nsqd says of a channel.
type channel struct {
	Depth    int `json:"depth"`
	InFlight int `json:"in_flight_count"`
	Deferred int `json:"deferred_count"`
	Clients  []struct {
		ID        string `json:"client_id"`
		Connected int64  `json:"connect_ts"` // in Unix seconds
	} `json:"clients"`
}

// queue adds what waits in the topic of tasks to what its channel says.
func (m *mainServer) queue() channel {
	m.scene.t.Helper()
	response, err := http.Get("http://" + m.address("4151") + "/stats?format=json&topic=" + backend.Topic)
	if err != nil {
		m.scene.t.Fatal(err)
	}
	defer response.Body.Close()
	var stats struct {
		Topics []struct {
			Depth    int       `json:"depth"`
			Channels []channel `json:"channels"`
		} `json:"topics"`
	}
	if err := json.NewDecoder(response.Body).Decode(&stats); err != nil {
		m.scene.t.Fatal(err)
	}
	var sum channel
	for _, topic := range stats.Topics {
		sum.Depth += topic.Depth
		for _, c := range topic.Channels {
			sum.Depth += c.Depth
			sum.InFlight += c.InFlight
			sum.Deferred += c.Deferred
			sum.Clients = append(sum.Clients, c.Clients...)
		}
	}
	return sum
}

func logs(t *testing.T, name string, c testcontainers.Container) {
	text, err := readLogs(c)
	t.Logf("log of %s (%v):\n%s", name, err, text)
}
