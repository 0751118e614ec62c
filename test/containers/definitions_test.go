package containers_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gvpocr/worker/ocrworker"
)

const definitions = "../../cmd/ocr-worker/"

// userVariables are what a user of the compose files sets.
var userVariables = []string{"MAIN_SERVER_IP=192.0.2.1", "MONGO_USERNAME=" + mongoUser, "MONGO_PASSWORD=" + mongoPassword}

func loadCompose(t *testing.T, file string, env []string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{definitions + file}, cli.WithName("gvpocr-worker"), cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(context.Background())
}

func TestTheComposeFilesAreValid(t *testing.T) {
	for _, file := range []string{"docker-compose.worker.yml", "docker-compose.overlay.yml", "docker-compose.yml"} {
		if _, err := loadCompose(t, file, userVariables); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if tool := compose(); tool != nil {
			cmd := exec.Command(tool[0], append(tool[1:], "-f", definitions+file, "config", "-q")...)
			cmd.Env = append(os.Environ(), userVariables...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s config: %v\n%s", file, err, out)
			}
		}
	}
}

// Both files of workers: three of them, with the names of today, confined, without a proxy, and with an environment that
// the worker takes.
func TestTheComposeFilesOfWorkersStartNothingElse(t *testing.T) {
	for _, file := range []string{"docker-compose.worker.yml", "docker-compose.overlay.yml"} {
		project, err := loadCompose(t, file, userVariables)
		if err != nil {
			t.Fatal(err)
		}
		if names, want := project.ServiceNames(), []string{"worker1", "worker2", "worker3"}; !slices.Equal(names, want) {
			t.Errorf("%s: services are %q, want %q", file, names, want)
		}
		for _, service := range project.Services {
			if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || service.MemLimit == 0 || service.CPUS == 0 ||
				service.PidsLimit == 0 || len(service.Tmpfs) != 1 || !strings.HasPrefix(service.Tmpfs[0], "/tmp:size=") {
				t.Errorf("%s: %s is not confined", file, service.Name)
			}
			if want := "gvpocr-worker-" + service.Name + "-1"; service.ContainerName != want {
				t.Errorf("%s: container %s, want %s", file, service.ContainerName, want)
			}
			wantEnvironment(t, file+" "+service.Name, service.Environment.Resolve(func(string) (string, bool) { return "", false }))
		}
	}
}

func TestAComposeFileNamesTheVariableThatIsMissing(t *testing.T) {
	for i, variable := range userVariables {
		name, _, _ := strings.Cut(variable, "=")
		_, err := loadCompose(t, "docker-compose.worker.yml", slices.Delete(slices.Clone(userVariables), i, i+1))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// Swarm's addresses forget a connection that is silent for 900 s.
func TestTheOverlayExampleKeepsItsConnectionsAlive(t *testing.T) {
	project, err := loadCompose(t, "docker-compose.overlay.yml", userVariables)
	if err != nil {
		t.Fatal(err)
	}
	idle := project.Services["worker1"].Environment["DIALER_KEEPALIVE_IDLE"]
	if idle == nil {
		t.Fatal("DIALER_KEEPALIVE_IDLE is not set")
	}
	if !regexp.MustCompile(`^\d{1,2}s$`).MatchString(*idle) {
		t.Errorf("DIALER_KEEPALIVE_IDLE is %s, not seconds below 100", *idle)
	}
	if !bool(project.Networks["default"].External) {
		t.Error("its network is not the one that exists")
	}
}

// A task that is only in memory is lost when nsqd is killed.
func TestTheMainServersComposeFileKeepsTasksOnDisk(t *testing.T) {
	project, err := loadCompose(t, "docker-compose.yml", userVariables)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--mem-queue-size=0", "--sync-every=1", "--data-path=/data"} {
		if !slices.Contains(project.Services["nsqd"].Command, flag) {
			t.Errorf("nsqd has no %s: %q", flag, project.Services["nsqd"].Command)
		}
	}
}

func TestTheKubernetesDefinitionIsValid(t *testing.T) {
	text, err := os.ReadFile(definitions + "kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	document, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatal(err)
	}
	// A field that there is none of, or none so spelled, is an error.
	if strict, err := json.UnmarshalStrict(document, &deployment); err != nil || len(strict) > 0 {
		t.Fatal(err, strict)
	}
	pod := deployment.Spec.Template
	for key, value := range deployment.Spec.Selector.MatchLabels {
		if pod.Labels[key] != value {
			t.Errorf("the selector wants %s=%s, and the pods have %q", key, value, pod.Labels[key])
		}
	}
	c := pod.Spec.Containers[0]
	for name, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if probe == nil || probe.Exec == nil || !slices.Equal(probe.Exec.Command[:2], []string{"/usr/bin/ocr-worker", "health"}) {
			t.Errorf("its %s probe is %v", name, probe)
		}
	}
	s := c.SecurityContext
	if !*pod.Spec.SecurityContext.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation ||
		!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || c.Resources.Limits.Memory().IsZero() {
		t.Error("the container is not confined")
	}
	mounted := map[string]bool{}
	for _, volume := range pod.Spec.Volumes {
		mounted[volume.Name] = false
	}
	for _, mount := range c.VolumeMounts {
		if _, ok := mounted[mount.Name]; !ok {
			t.Errorf("%s is mounted, and there is no such volume", mount.Name)
		}
		mounted[mount.Name] = true
	}
	for name, ok := range mounted {
		if !ok {
			t.Errorf("the volume %s is mounted nowhere", name)
		}
	}
	env := map[string]*string{}
	for _, variable := range c.Env {
		value := variable.Value
		if strings.HasSuffix(variable.Name, "_FILE") {
			value = secretFile(t)
		}
		if variable.ValueFrom != nil {
			value = "from-elsewhere"
		}
		env[variable.Name] = &value
	}
	wantEnvironment(t, "kubernetes.yaml", env)
}

func TestTheSystemdUnitIsValid(t *testing.T) {
	text, err := os.ReadFile(definitions + "ocr-worker@.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"DynamicUser=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "NoNewPrivileges=yes", "Restart=always"} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("it has no line %s", line)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed, so it was not asked.")
	}
	// It looks for the program, too.
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "ocr-worker@1.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/ocr-worker", program)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheLaunchdDefinitionIsValid(t *testing.T) {
	text, err := os.ReadFile(definitions + "org.gvpocr.worker.plist")
	if err != nil {
		t.Fatal(err)
	}
	// A dictionary is a row of keys and values.
	env := map[string]*string{}
	var keys []string
	var key string
	decoder := xml.NewDecoder(strings.NewReader(string(text)))
	for inEnvironment := false; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.EndElement:
			inEnvironment = inEnvironment && token.Name.Local != "dict"
		case xml.StartElement:
			inEnvironment = inEnvironment || token.Name.Local == "dict" && key == "EnvironmentVariables"
			if token.Name.Local != "key" && token.Name.Local != "string" {
				continue
			}
			var value string
			if err := decoder.DecodeElement(&value, &token); err != nil {
				t.Fatal(err)
			}
			if token.Name.Local == "key" {
				key = value
				keys = append(keys, key)
			} else if inEnvironment {
				if strings.HasSuffix(key, "_FILE") {
					value = secretFile(t)
				}
				env[key] = &value
			}
		}
	}
	for _, key := range []string{"Label", "ProgramArguments", "KeepAlive", "RunAtLoad", "ExitTimeOut"} {
		if !slices.Contains(keys, key) {
			t.Errorf("it has no key %s", key)
		}
	}
	wantEnvironment(t, "org.gvpocr.worker.plist", env)
	if _, err := exec.LookPath("plutil"); err == nil {
		if out, err := exec.Command("plutil", "-lint", definitions+"org.gvpocr.worker.plist").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// secretFile stands for a file with a secret that is on the machine of the worker.
func secretFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(mongoPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantEnvironment checks that a worker takes an environment, and that it leads to a main server.
func wantEnvironment(t *testing.T, where string, variables map[string]*string) {
	t.Helper()
	// Whether tesseract is installed here is another question.
	environ := []string{"TESSERACT_ENABLED=false"}
	for name, value := range variables {
		if name != "TESSERACT_ENABLED" && value != nil {
			environ = append(environ, name+"="+*value)
		}
	}
	cfg, err := ocrworker.ConfigFromEnv(environ)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	defer cfg.Dialer.Close()
	if !strings.Contains(cfg.MongoURI, "@mongodb-proxy:27017/gvpocr") || cfg.NSQD != "nsqd-proxy:4150" ||
		!slices.Equal(cfg.Lookupds, []string{"nsqlookupd-proxy:4161"}) {
		t.Errorf("%s: the worker would use another MongoDB, nsqd or nsqlookupd: %s, %s, %s", where,
			regexp.MustCompile(`//.*@`).ReplaceAllString(cfg.MongoURI, "//…@"), cfg.NSQD, cfg.Lookupds)
	}
}
