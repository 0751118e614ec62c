package ocrworker

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/environ"
	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/ocrworker/pages"
	"github.com/gvpocr/worker/ocrworker/source"
	"github.com/gvpocr/worker/resolve"
)

const (
	topic   = "bulk_ocr_file_tasks"
	channel = "bulk_ocr_workers"

	tesseract = "tesseract"
)

// Config is what a Worker works with. ConfigFromEnv fills it from the environment.
type Config struct {
	Dialer         *dialer.Dialer        // required
	MongoURI, NSQD string                // MongoURI is required; NSQD is consumed directly while no lookupd answers
	NSQ            *nsq.Config           // default: nsqdial.NewConfig(); copied; ClientID and UserAgent are set
	ID             string                // default: the host name
	Lookupds       []string              // required if NSQD is empty
	Engines        map[string]ocr.Engine // by provider; one at least
	DefaultEngine  string                // of tasks that name no provider; default: the only engine, or the first by name
	Sources        []source.Source       // asked in order; default: the disk at Roots
	Roots          source.Roots          // where files are and results are keyed
	Concurrency    int                   // tasks at a time; default: the number of cores

	// FileTimeout is what one task may take, after which it ends as a recorded error. Default 14 min: nsqd takes a
	// message back after its max-msg-timeout, 15 min by default.
	FileTimeout time.Duration

	// ShutdownTimeout is how long Run waits for tasks when it ends. Default 8 s, inside Docker's 10 s; negative means
	// that they are put back at once.
	ShutdownTimeout time.Duration

	// RequeueUnknown puts tasks that this worker can't do back in the queue, for another worker of the fleet, 20 times
	// at most. False means that they end as recorded errors.
	RequeueUnknown bool

	Limits pages.Limits
	Logger *slog.Logger // nil means silent
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Dialer == nil:
		return c, errors.New("worker: Dialer is nil")
	case len(c.Missing()) > 0:
		return c, fmt.Errorf("worker: %s", strings.Join(c.Missing(), ", and "))
	case len(c.Engines) == 0:
		return c, errors.New("worker: no provider is on; set TESSERACT_ENABLED=true")
	case c.Concurrency < 0:
		return c, fmt.Errorf("worker: OCR_CONCURRENCY: %d is negative", c.Concurrency)
	case c.FileTimeout < 0:
		return c, fmt.Errorf("worker: OCR_FILE_TIMEOUT: %v is negative", c.FileTimeout)
	}
	if c.ID == "" {
		c.ID, _ = os.Hostname()
		c.ID = cmp.Or(c.ID, "worker")
	}
	if c.Sources == nil {
		c.Sources = []source.Source{source.NewDisk(c.Roots)}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if _, ok := c.Engines[c.DefaultEngine]; !ok {
		fallback := slices.Sorted(maps.Keys(c.Engines))[0]
		if c.DefaultEngine != "" {
			c.Logger.Warn("the default provider is not on; tasks that name none get another",
				"provider", c.DefaultEngine, "instead", fallback)
		}
		c.DefaultEngine = fallback
	}
	c.Concurrency = cmp.Or(c.Concurrency, runtime.GOMAXPROCS(0))
	c.FileTimeout = cmp.Or(c.FileTimeout, 14*time.Minute)
	c.ShutdownTimeout = max(cmp.Or(c.ShutdownTimeout, 8*time.Second), 0)
	return c, nil
}

// Missing says which services the configuration must name, and does not: "MONGO_URI is not set". Without them New fails.
func (c Config) Missing() []string {
	var missing []string
	if c.MongoURI == "" {
		missing = append(missing, "MONGO_URI is not set")
	}
	if c.NSQD == "" && len(c.Lookupds) == 0 {
		missing = append(missing, "neither NSQLOOKUPD_ADDRESSES nor NSQD_ADDRESS is set")
	}
	return missing
}

func (c Config) nsqds() []string {
	if c.NSQD == "" {
		return nil
	}
	return []string{c.NSQD}
}

func (c Config) engineNames() string {
	return strings.Join(slices.Sorted(maps.Keys(c.Engines)), ", ")
}

func (c Config) unknown() class {
	if c.RequeueUnknown {
		return elsewhere
	}
	return permanent
}

// variables are the worker's part of the environment. What belongs to services that this version does not use is left
// out; a compose file may set it all the same.
type variables struct {
	MongoURI      string   `env:"MONGO_URI"`
	MongoUser     string   `env:"MONGO_USERNAME"`
	MongoPassword string   `env:"MONGO_PASSWORD"`
	NSQD          string   `env:"NSQD_ADDRESS"`
	Lookupds      []string `env:"NSQLOOKUPD_ADDRESSES"`
	UseNSQ        bool     `env:"USE_NSQ"`
	NSQTLS        bool     `env:"NSQ_TLS"`
	NSQCAFile     string   `env:"NSQ_TLS_CA_FILE"`
	NSQCertFile   string   `env:"NSQ_TLS_CERT_FILE"`
	NSQKeyFile    string   `env:"NSQ_TLS_KEY_FILE"`
	NSQServerName string   `env:"NSQ_TLS_SERVER_NAME"`
	NSQAuthSecret string   `env:"NSQ_AUTH_SECRET"`
	NSQSnappy     bool     `env:"NSQ_SNAPPY"`
	NSQDeflate    bool     `env:"NSQ_DEFLATE"`
	ID            string   `env:"WORKER_ID"`

	GVPOCRPath      string `env:"GVPOCR_PATH" envDefault:"/app/Bhushanji"`
	NewslettersPath string `env:"NEWSLETTERS_PATH" envDefault:"/app/newsletters"`

	DefaultProvider  string `env:"DEFAULT_OCR_PROVIDER"`
	UnknownProvider  string `env:"UNKNOWN_PROVIDER" envDefault:"error"`
	TesseractEnabled bool   `env:"TESSERACT_ENABLED" envDefault:"true"`
	TesseractCmd     string `env:"TESSERACT_CMD"`

	Concurrency     int           `env:"OCR_CONCURRENCY"`
	FileTimeout     time.Duration `env:"OCR_FILE_TIMEOUT"`
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT"`

	LogLevel  string `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat string `env:"LOG_FORMAT" envDefault:"text"`
}

// secrets may be given as the path of a file that holds them, in a variable with _FILE after its name.
var secrets = []string{"MONGO_URI", "MONGO_PASSWORD", "NSQ_AUTH_SECRET"}

// ConfigFromEnv reads a Config from environ, which is in the form of os.Environ. The Dialer is configured by the same
// environment (see dialer.ConfigFromEnv) and is the caller's to close. The error joins every bad variable, and shows no
// value.
func ConfigFromEnv(environment []string) (Config, error) {
	environment, fileErr := readSecrets(environment)
	v := variables{UseNSQ: true}
	err := environ.Parse(&v, environment)
	dial, dialErr := dialer.ConfigFromEnv(environment)
	v.NSQD = strings.TrimSpace(v.NSQD)
	uri, uriErr := v.mongoURI()
	queue, queueErr := v.nsq()
	if err := errors.Join(err, dialErr, fileErr, uriErr, queueErr, v.check(), v.checkNSQDNames(dial)); err != nil {
		return Config{}, err
	}
	logger := v.logger(os.Stderr)
	dial.Logger = logger
	if dial.Spares == nil {
		dial.Spares = map[string]int{"mongodb-proxy": 2} // a new connection of the driver's pool then costs one round trip
	}
	cfg := Config{
		MongoURI:        uri,
		NSQD:            v.NSQD,
		NSQ:             queue,
		ID:              v.ID,
		Lookupds:        v.lookupds(),
		DefaultEngine:   v.DefaultProvider,
		Engines:         map[string]ocr.Engine{},
		Roots:           source.Roots{GVPOCR: v.GVPOCRPath, Newsletters: v.NewslettersPath},
		Concurrency:     v.Concurrency,
		FileTimeout:     v.FileTimeout,
		ShutdownTimeout: v.ShutdownTimeout,
		RequeueUnknown:  v.UnknownProvider == "requeue",
		Logger:          logger,
	}
	if v.TesseractEnabled {
		engine, err := ocr.NewTesseract(ocr.TesseractConfig{Cmd: v.TesseractCmd, Processes: v.Concurrency})
		if err != nil {
			return Config{}, err
		}
		cfg.Engines[tesseract] = engine
	}
	if cfg.Dialer, err = dialer.New(dial); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

func (v variables) check() error {
	var errs []error
	if !v.UseNSQ {
		errs = append(errs, errors.New("USE_NSQ: this worker has no other queue than NSQ; remove the line or set it to true"))
	}
	if v.UnknownProvider != "error" && v.UnknownProvider != "requeue" {
		errs = append(errs, errors.New("UNKNOWN_PROVIDER: not error or requeue"))
	}
	if _, err := v.level(); err != nil {
		errs = append(errs, errors.New("LOG_LEVEL: not debug, info, warn or error"))
	}
	if v.LogFormat != "text" && v.LogFormat != "json" {
		errs = append(errs, errors.New("LOG_FORMAT: not text or json"))
	}
	if v.NSQD != "" && !isAddress(v.NSQD) {
		errs = append(errs, errors.New("NSQD_ADDRESS: not host:port"))
	}
	for _, address := range v.lookupds() {
		if !isAddress(strings.TrimPrefix(address, "http://")) {
			errs = append(errs, errors.New("NSQLOOKUPD_ADDRESSES: not host:port, with http:// or without, and commas between"))
		}
	}
	if v.Concurrency < 0 {
		errs = append(errs, errors.New("OCR_CONCURRENCY: not a positive number"))
	}
	if v.FileTimeout < 0 {
		errs = append(errs, errors.New("OCR_FILE_TIMEOUT: negative"))
	}
	return errors.Join(errs...)
}

// isAddress tells host:port from what could never be dialed, and would look like an outage for ever.
func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && portErr == nil && n > 0 && resolve.IsHost(host)
}

func (v variables) level() (level slog.Level, err error) {
	err = level.UnmarshalText([]byte(v.LogLevel))
	return level, err
}

// lookupds takes "a:4161, http://b:4161/," as it is meant, and the path with which other clients of nsqlookupd ask.
func (v variables) lookupds() []string {
	var addresses []string
	for _, address := range v.Lookupds {
		address = strings.TrimRight(strings.TrimSpace(address), "/")
		if address = strings.TrimRight(strings.TrimSuffix(address, "/lookup"), "/"); address != "" {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

func (v variables) logger(w io.Writer) *slog.Logger {
	level, _ := v.level() // check has reported a bad one
	options := &slog.HandlerOptions{Level: level}
	if v.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// mongoURI puts MONGO_USERNAME and MONGO_PASSWORD into a MONGO_URI that has no user, and checks it.
func (v variables) mongoURI() (string, error) {
	uri := v.MongoURI
	scheme, rest, ok := strings.Cut(uri, "://")
	authority, _, _ := strings.Cut(rest, "/")
	bare := ok && !strings.Contains(authority, "@")
	switch {
	case bare && v.MongoUser != "" && v.MongoPassword == "": // X.509 has none
		user, err := credential("MONGO_USERNAME", v.MongoUser)
		if err != nil {
			return "", err
		}
		uri = scheme + "://" + url.User(user).String() + "@" + rest
	case bare && v.MongoUser != "":
		user, err := credential("MONGO_USERNAME", v.MongoUser)
		password, passwordErr := credential("MONGO_PASSWORD", v.MongoPassword)
		if err := errors.Join(err, passwordErr); err != nil {
			return "", err
		}
		uri = scheme + "://" + url.UserPassword(user, password).String() + "@" + rest
	}
	if uri == "" {
		return "", nil // New asks for it
	}
	if err := jobs.CheckURI(uri); err != nil {
		return "", fmt.Errorf("MONGO_URI: %w", err)
	}
	return uri, nil
}

// credential reads a value that is raw, or percent-encoded where it holds a %, as the Python worker does.
func credential(name, value string) (string, error) {
	if !strings.Contains(value, "%") {
		return value, nil
	}
	decoded, err := url.QueryUnescape(strings.ReplaceAll(value, "+", "%2B"))
	if err != nil {
		return "", fmt.Errorf("%s: holds a %% that does not begin a percent-encoded character; write %%25 for it", name)
	}
	return decoded, nil
}

// readSecrets adds the variables whose values are in files.
func readSecrets(environment []string) ([]string, error) {
	const most = 64 << 10
	var errs []error
	var read []string
	for _, line := range environment {
		name, path, _ := strings.Cut(line, "=")
		secret, ok := strings.CutSuffix(name, "_FILE")
		if !ok || path == "" || !slices.Contains(secrets, secret) {
			continue
		}
		value, err := readFile(path, most)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: the file can't be read: %w", name, withoutPath(err)))
			continue
		}
		read = append(read, secret+"="+strings.TrimRight(value, "\r\n"))
	}
	return slices.Concat(environment, read), errors.Join(errs...)
}

// withoutPath leaves a file's path out of an error: it may be a secret in the wrong variable.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func readFile(path string, most int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most))
	return string(data), err
}
