package cli_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gvpocr/worker/test/samples"
)

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUp,
		Condition: func(condition string) (bool, error) {
			_, err := exec.LookPath(condition) // [tesseract]
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mainserver": startMainServer,
			"halt":       stopService,
			"resume":     startService,
			"relay":      startRelay,
			"tlsrelay":   startTLSRelay,
			"cut":        cutRelay,
			"freeport":   freePort,
			"until":      until,
			"freeze":     freeze,
			"mask":       mask,
			"sample":     sample,
			"store":      storeJob,
			"readme":     readme,
			"setfrom":    setFrom,
			"composeenv": composeEnvironment,
		},
	})
}

// setUp gives a script the environment of today's compose file, to the letter, and the worker on its path.
func setUp(env *testscript.Env) error {
	env.Vars = append(env.Vars,
		"MONGO_URI=mongodb://gvpocr_admin:gvp%40123@mongodb-proxy:27017/gvpocr",
		"NSQD_ADDRESS=nsqd-proxy:4150",
		"NSQLOOKUPD_ADDRESSES=nsqlookupd-proxy:4161",
		"USE_NSQ=true",
		"WORKER_ID=script-worker",
		"TESSERACT_ENABLED=true",
		"DEFAULT_OCR_PROVIDER=tesseract",
		"GVPOCR_PATH="+filepath.Join(env.WorkDir, "Bhushanji"),
		"NEWSLETTERS_PATH="+filepath.Join(env.WorkDir, "newsletters"),
		"PATH="+binaries+string(os.PathListSeparator)+os.Getenv("PATH"),
		"OMP_THREAD_LIMIT=1",
	)
	if prefix, ok := os.LookupEnv("TESSDATA_PREFIX"); ok {
		env.Vars = append(env.Vars, "TESSDATA_PREFIX="+prefix)
	}
	env.Values[sceneKey{}] = newScene(env)
	return os.MkdirAll(filepath.Join(env.WorkDir, "Bhushanji"), 0o755)
}

// sample copies a sample page: sample notice.gif Bhushanji/a.gif
func sample(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sample NAME PATH")
	}
	data, err := fs.ReadFile(samples.Pages(), args[0])
	ts.Check(err)
	path := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, data, 0o644))
}

// setFrom sets a variable to what a regular expression's group matches: setfrom JOB stdout 'job (\S+):'
func setFrom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: setfrom NAME FILE REGEXP")
	}
	match := regexp.MustCompile(args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if len(match) != 2 {
		ts.Fatalf("%s has no %s", args[1], args[2])
	}
	ts.Setenv(args[0], match[1])
}

// composeEnvironment gives the script the environment that compose gives a service, with the variables of the file .env
// beside the compose file, and nothing else of today's: composeenv FILE SERVICE
func composeEnvironment(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: composeenv FILE SERVICE")
	}
	beside, err := dotenv.GetEnvFromFile(nil, []string{filepath.Join(filepath.Dir(ts.MkAbs(args[0])), ".env")})
	ts.Check(err)
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  filepath.Dir(ts.MkAbs(args[0])),
		ConfigFiles: []types.ConfigFile{{Filename: args[0], Content: []byte(ts.ReadFile(args[0]))}},
		Environment: beside,
	}, func(o *loader.Options) { o.SetProjectName("script", true) })
	ts.Check(err)
	service, err := project.GetService(args[1])
	ts.Check(err)
	for _, name := range []string{"MONGO_URI", "NSQD_ADDRESS", "NSQLOOKUPD_ADDRESSES", "DIAL_MONGODB_PROXY", "DIAL_NSQD_PROXY", "DIAL_NSQLOOKUPD_PROXY", "DIAL_BACKEND_PROXY", "MAIN_SERVER_IP"} {
		ts.Setenv(name, "")
	}
	for name, value := range service.Environment {
		if value != nil {
			ts.Setenv(name, *value)
		}
	}
}
