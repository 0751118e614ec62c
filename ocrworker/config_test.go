package ocrworker_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/gvpocr/worker/ocrworker"
	"github.com/gvpocr/worker/ocrworker/source"
)

// minimal is an environment that is right. Tesseract is off, so that no test depends on its being installed.
var minimal = []string{"MONGO_URI=mongodb://mongodb-proxy:27017/gvpocr", "NSQD_ADDRESS=nsqd-proxy:4150", "TESSERACT_ENABLED=false"}

func configFrom(t *testing.T, lines ...string) ocrworker.Config {
	t.Helper()
	cfg, err := ocrworker.ConfigFromEnv(slices.Concat(minimal, lines))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cfg.Dialer.Close() })
	return cfg
}

func TestAnEnvironmentWithoutSettingsHasTheDefaultsOfTheContract(t *testing.T) {
	cfg := configFrom(t)
	if want := (source.Roots{GVPOCR: "/app/Bhushanji", Newsletters: "/app/newsletters"}); cfg.Roots != want {
		t.Errorf("Roots are %+v, want %+v", cfg.Roots, want)
	}
	if cfg.Concurrency != 0 || cfg.FileTimeout != 0 || cfg.ShutdownTimeout != 0 || cfg.RequeueUnknown || cfg.ID != "" || cfg.DefaultEngine != "" {
		t.Errorf("not zero, for New's defaults: %+v", cfg)
	}
	if cfg.Logger.Enabled(t.Context(), -4) || !cfg.Logger.Enabled(t.Context(), 0) {
		t.Error("the log level is not info")
	}
	if cfg.NSQD != "nsqd-proxy:4150" || cfg.Dialer == nil {
		t.Errorf("NSQD is %q, Dialer %v", cfg.NSQD, cfg.Dialer)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	cfg := configFrom(t, "NSQLOOKUPD_ADDRESSES=http://a:4161, b:4161,", "WORKER_ID=w", "GVPOCR_PATH=/g", "NEWSLETTERS_PATH=/n",
		"DEFAULT_OCR_PROVIDER=google_vision", "UNKNOWN_PROVIDER=requeue", "OCR_CONCURRENCY=3", "OCR_FILE_TIMEOUT=5m", "SHUTDOWN_TIMEOUT=-1s",
		"LOG_LEVEL=DEBUG", "LOG_FORMAT=json", "USE_NSQ=true", "MAIN_SERVER_IP=172.12.0.132", "DIAL_NSQD_PROXY=10.0.0.1", "DIALER_BUDGET=3s")
	if want := []string{"http://a:4161", "b:4161"}; !slices.Equal(cfg.Lookupds, want) {
		t.Errorf("Lookupds are %q, want %q", cfg.Lookupds, want)
	}
	if want := (source.Roots{GVPOCR: "/g", Newsletters: "/n"}); cfg.Roots != want {
		t.Errorf("Roots are %+v, want %+v", cfg.Roots, want)
	}
	if cfg.ID != "w" || cfg.DefaultEngine != "google_vision" || !cfg.RequeueUnknown || cfg.Concurrency != 3 ||
		cfg.FileTimeout != 5*time.Minute || cfg.ShutdownTimeout != -time.Second || !cfg.Logger.Enabled(t.Context(), -4) {
		t.Errorf("not all settings are read: %+v", cfg)
	}
}

func TestAnEmptyVariableIsAsGoodAsNone(t *testing.T) {
	var empty []string
	for _, name := range []string{"USE_NSQ", "OCR_CONCURRENCY", "OCR_FILE_TIMEOUT", "SHUTDOWN_TIMEOUT", "LOG_LEVEL", "LOG_FORMAT",
		"UNKNOWN_PROVIDER", "GVPOCR_PATH", "NSQLOOKUPD_ADDRESSES", "MONGO_PASSWORD_FILE", "MAIN_SERVER_IP"} {
		empty = append(empty, name+"=")
	}
	if cfg := configFrom(t, empty...); cfg.Roots.GVPOCR != "/app/Bhushanji" || len(cfg.Lookupds) != 0 {
		t.Errorf("%+v", cfg)
	}
}

func TestUserAndPasswordReachMongoDBAsTheyAre(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const bare = "MONGO_URI=mongodb://mongodb-proxy:27017/gvpocr"
	const punctuation = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~ é"
	for name, test := range map[string]struct {
		file           string
		lines          []string
		user, password string
	}{
		"in the URI":                   {"", []string{"MONGO_URI=mongodb://u:gvp%40123@h/db"}, "u", "gvp@123"},
		"in the URI, which goes first": {"", []string{"MONGO_URI=mongodb://u:p@h/db", "MONGO_USERNAME=x", "MONGO_PASSWORD=y"}, "u", "p"},
		"the URI in a file":            {"mongodb://u:p@h/db\r\n", []string{"MONGO_URI=", "MONGO_URI_FILE=" + secret}, "u", "p"},
		"raw":                          {"", []string{bare, "MONGO_USERNAME=gvpocr_admin", "MONGO_PASSWORD=gvp@123"}, "gvpocr_admin", "gvp@123"},
		"percent-encoded":              {"", []string{bare, "MONGO_USERNAME=gvpocr%5Fadmin", "MONGO_PASSWORD=gvp%40123"}, "gvpocr_admin", "gvp@123"},
		"a plus is a plus":             {"", []string{bare, "MONGO_USERNAME=u", "MONGO_PASSWORD=a+b%40"}, "u", "a+b@"},
		"punctuation":                  {"", []string{bare, "MONGO_USERNAME=u", "MONGO_PASSWORD=" + punctuation}, "u", punctuation},
		"in a file":                    {"gvp@123\n", []string{bare, "MONGO_USERNAME=u", "MONGO_PASSWORD_FILE=" + secret}, "u", "gvp@123"},
		"no user":                      {"", []string{bare}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			write(test.file)
			uri, err := connstring.ParseAndValidate(configFrom(t, test.lines...).MongoURI)
			if err != nil {
				t.Fatal(err)
			}
			if uri.Username != test.user || uri.Password != test.password {
				t.Errorf("user %q with password %q, want %q with %q", uri.Username, uri.Password, test.user, test.password)
			}
			if len(uri.Hosts) != 1 || uri.Database == "" {
				t.Errorf("the URI has lost its host or database: %q, %q", uri.Hosts, uri.Database)
			}
		})
	}
}

// A certificate's user has no password, and a compose file may set a password that is not needed.
func TestAUserNeedsNoPasswordAndAPasswordWithoutAUserIsLeftOut(t *testing.T) {
	const bare = "MONGO_URI=mongodb://mongodb-proxy:27017/gvpocr"
	for line, want := range map[string]string{
		"MONGO_USERNAME=a@b":    "mongodb://a%40b@mongodb-proxy:27017/gvpocr",
		"MONGO_PASSWORD=s3cret": "mongodb://mongodb-proxy:27017/gvpocr",
	} {
		if got := configFrom(t, bare, line).MongoURI; got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestAddressesAreTakenAsPeopleWriteThem(t *testing.T) {
	cfg := configFrom(t,
		"NSQD_ADDRESS= gvpocr_nsqd.1:4150 ",
		"NSQLOOKUPD_ADDRESSES=a:4161, http://b:4161/,http://[::1]:4161/lookup, C:4161//,",
		"MONGO_URI=mongodb://u:p@mongo.1:27017, b:27018/gvpocr",
	)
	if cfg.NSQD != "gvpocr_nsqd.1:4150" {
		t.Errorf("nsqd %q", cfg.NSQD)
	}
	if want := []string{"a:4161", "http://b:4161", "http://[::1]:4161", "C:4161"}; !slices.Equal(cfg.Lookupds, want) {
		t.Errorf("nsqlookupds %q, want %q", cfg.Lookupds, want)
	}
}

func TestAllBadVariablesAreNamedAtOnceAndNoValueIsShown(t *testing.T) {
	const secret = "s3cret"
	bad := map[string]string{ // with what the error says to do
		"MONGO_USERNAME=" + secret + "%zz":       "%25",
		"MONGO_PASSWORD=" + secret + "%":         "%25",
		"MONGO_URI_FILE=/no/such/file/" + secret: "can't be read",
		"USE_NSQ=" + secret:                      "true or false",
		"TESSERACT_ENABLED=" + secret:            "true or false",
		"UNKNOWN_PROVIDER=" + secret:             "error or requeue",
		"OCR_CONCURRENCY=" + secret:              "a whole number",
		"OCR_FILE_TIMEOUT=" + secret:             "15s or 2m",
		"SHUTDOWN_TIMEOUT=" + secret:             "15s or 2m",
		"LOG_LEVEL=" + secret:                    "debug, info, warn or error",
		"LOG_FORMAT=" + secret:                   "text or json",
		"DIALER_BUDGET=" + secret:                "15s or 2m",
		"DIALER_NONSENSE=" + secret:              "unknown setting",
		"DIAL_X=10.0.0.1:nonsense":               "port",
		"MAIN_SERVER_IP=10.0.0.1:1":              "port",
	}
	var lines []string
	for line := range bad {
		lines = append(lines, line)
	}
	_, err := ocrworker.ConfigFromEnv(slices.Concat(minimal, lines))
	if err == nil {
		t.Fatal("no error")
	}
	for line, says := range bad {
		name, _, _ := strings.Cut(line, "=")
		named := 0
		for message := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(message, name+":") {
				continue
			}
			named++
			if !strings.Contains(message, says) {
				t.Errorf("%q does not say %q", strings.TrimSpace(message), says)
			}
		}
		if named != 1 {
			t.Errorf("%s is named %d times", name, named)
		}
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("a value is shown:\n%v", err)
	}
}

func TestAnAddressThatNobodyCanDialIsRefusedAndNotShown(t *testing.T) {
	for _, value := range []string{":4150", "s3cret", "s3cret:nsq", "s3cret:0", "u@s3cret:4150", "s3 cret:4150"} {
		for _, name := range []string{"NSQD_ADDRESS", "NSQLOOKUPD_ADDRESSES"} {
			_, err := ocrworker.ConfigFromEnv(append(slices.Clone(minimal), name+"="+value))
			if err == nil || !strings.HasPrefix(err.Error(), name+": not host:port") || strings.Contains(err.Error(), "cret") {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
	}
	configFrom(t, "NSQD_ADDRESS=[2001:db8::1]:4150", "NSQLOOKUPD_ADDRESSES=http://10.0.0.1:4161/,lookup_2:4161")
}

func TestABadMongoURIIsNamedAndNotShown(t *testing.T) {
	for _, uri := range []string{
		"s3cret", "mongodb://", "mongodb://u:s3cret@:27017/db", "mongodb://u:s3cret", "mongodb://u:s3cret/gvpocr", "mongodb://u:s3@cret@h/db", "mongodb://u:s3%cret@h/db",
		"http://u:s3cret@h/db", "mongodb://u:s3cret@h/db?w=s3cret&journal=maybe",
	} {
		_, err := ocrworker.ConfigFromEnv(append(slices.Clone(minimal), "MONGO_URI="+uri))
		if err == nil {
			t.Errorf("%s is taken", uri)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "MONGO_URI: ") || !strings.Contains(text, "mongodb://user:password@host:port/database") {
			t.Errorf("%s: the error does not name the variable and its form: %v", uri, err)
		}
		if strings.Contains(text, "s3") || strings.Contains(text, "cret") {
			t.Errorf("the URI is shown: %v", err)
		}
	}
}

func TestAnotherQueueIsRefused(t *testing.T) {
	_, err := ocrworker.ConfigFromEnv(append(slices.Clone(minimal), "USE_NSQ=false"))
	if err == nil || !strings.Contains(err.Error(), "no other queue") {
		t.Errorf("USE_NSQ=false: %v", err)
	}
}

func TestNewNamesWhatIsMissingOrImpossible(t *testing.T) {
	right := configFrom(t)
	for name, test := range map[string]struct {
		change func(*ocrworker.Config)
		says   string
	}{
		"no dialer":   {func(c *ocrworker.Config) { c.Dialer = nil }, "Dialer"},
		"no MongoDB":  {func(c *ocrworker.Config) { c.MongoURI = "" }, "MONGO_URI is not set"},
		"no queue":    {func(c *ocrworker.Config) { c.NSQD = "" }, "NSQD_ADDRESS"},
		"no provider": {func(*ocrworker.Config) {}, "no provider is on"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := right
			test.change(&cfg)
			if _, err := ocrworker.New(cfg); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one about %s", err, test.says)
			}
		})
	}
}

func TestAPasswordFileThatIsMissingIsAnErrorWithItsCause(t *testing.T) {
	_, err := ocrworker.ConfigFromEnv(append(slices.Clone(minimal), "MONGO_PASSWORD_FILE="+filepath.Join(t.TempDir(), "missing")))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that wraps os.ErrNotExist", err)
	}
}
