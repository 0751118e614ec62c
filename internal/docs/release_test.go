package docs

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// release is what the tests read of goreleaser's configuration.
type release struct {
	Builds []struct {
		Main           string
		Binary         string
		Goos, Goarch   []string
		Flags, Ldflags []string
		Env            []string
	}
	Archives []struct {
		Files []struct {
			Src         string
			StripParent bool `yaml:"strip_parent"`
		}
	}
	Sboms []struct {
		Artifacts string
		Cmd       string
		Args, Env []string
	}
	Checksum struct {
		NameTemplate string `yaml:"name_template"`
	}
	DockersV2 []struct {
		Dockerfile string
		Platforms  []string
		ExtraFiles []string          `yaml:"extra_files"`
		BuildArgs  map[string]string `yaml:"build_args"`
		Sbom       bool
	} `yaml:"dockers_v2"`
}

func readRelease(t *testing.T) release {
	t.Helper()
	var r release
	if err := yaml.Unmarshal([]byte(read(t, ".goreleaser.yaml")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Builds) != 1 || len(r.Archives) != 1 || len(r.Sboms) != 1 || len(r.DockersV2) != 1 {
		t.Fatalf("%d builds, %d archives, %d bills of materials and %d images, and these tests are for one of each",
			len(r.Builds), len(r.Archives), len(r.Sboms), len(r.DockersV2))
	}
	return r
}

// The linker says nothing of a variable that it does not find.
func TestAReleasedProgramSaysItsVersion(t *testing.T) {
	build := readRelease(t).Builds[0]
	program := filepath.Join(t.TempDir(), build.Binary)
	flags := strings.ReplaceAll(strings.Join(build.Ldflags, " "), "{{ .Version }}", "1.2.3")
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", program, "-ldflags", flags}, build.Flags, []string{build.Main})...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), build.Env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil || string(out) != "ocr-worker v1.2.3\n" {
		t.Errorf("it says %q: %v", out, err)
	}
}

func TestTheImageHoldsTheProgramThatIsReleased(t *testing.T) {
	r := readRelease(t)
	build, image := r.Builds[0], r.DockersV2[0]
	dockerfile := read(t, image.Dockerfile)

	compile := regexp.MustCompile(`go build ((?:-\w\S* )*)-ldflags "([^"]*)"`).FindStringSubmatch(dockerfile)
	if compile == nil {
		t.Fatalf("%s does not build the program", image.Dockerfile)
	}
	if diff := cmp.Diff(build.Flags, strings.Fields(compile[1])); diff != "" {
		t.Errorf("flags (-release +Dockerfile):\n%s", diff)
	}
	if diff := cmp.Diff(build.Ldflags, []string{strings.ReplaceAll(compile[2], "$VERSION", "v{{ .Version }}")}); diff != "" {
		t.Errorf("flags of the linker (-release +Dockerfile):\n%s", diff)
	}
	for _, setting := range build.Env {
		if !regexp.MustCompile(`(?m)^ENV .*\b` + regexp.QuoteMeta(setting) + `\b`).MatchString(dockerfile) {
			t.Errorf("%s does not set %s", image.Dockerfile, setting)
		}
	}
	for name := range image.BuildArgs {
		if !regexp.MustCompile(`(?m)^ARG ` + name + `\b`).MatchString(dockerfile) {
			t.Errorf("%s has no argument %s", image.Dockerfile, name)
		}
	}
	if stage := image.BuildArgs["PROGRAM"]; !regexp.MustCompile(`(?m)^FROM .* AS ` + stage + `$`).MatchString(dockerfile) {
		t.Errorf("%s has no stage %q to take the program from", image.Dockerfile, stage)
	}
	for _, platform := range image.Platforms {
		system, processor, _ := strings.Cut(platform, "/")
		if !slices.Contains(build.Goos, system) || !slices.Contains(build.Goarch, processor) {
			t.Errorf("no program is built for the image's %s", platform)
		}
	}
	if !image.Sbom {
		t.Error("the image has no bill of materials")
	}

	// The stages of a release copy only what goreleaser puts into the context.
	_, stages, _ := strings.Cut(dockerfile, " AS released\n")
	for _, copied := range regexp.MustCompile(`(?m)^COPY ([a-z]\S*) \S+$`).FindAllStringSubmatch(stages, -1) {
		if !slices.Contains(image.ExtraFiles, copied[1]) {
			t.Errorf("%s copies %s, which a release does not give it", image.Dockerfile, copied[1])
		}
	}
	for _, file := range image.ExtraFiles {
		read(t, file)
	}
}

func TestTheBillOfMaterialsIsOfTheReleasedProgram(t *testing.T) {
	r := readRelease(t)
	build, bill := r.Builds[0], r.Sboms[0]
	i := slices.Index(bill.Args, "-main")
	if bill.Artifacts != "binary" || i < 0 || i+1 == len(bill.Args) || path.Clean(bill.Args[i+1]) != path.Clean(build.Main) {
		t.Errorf("it is made for each %s by %q, and the program is %s", bill.Artifacts, bill.Args, build.Main)
	}
	for _, setting := range append([]string{"GOOS={{ .Os }}", "GOARCH={{ .Arch }}"}, build.Env...) {
		if !slices.Contains(bill.Env, setting) {
			t.Errorf("it is made without %s", setting)
		}
	}
}

func TestTheReadmeListsWhatAReleaseHolds(t *testing.T) {
	r := readRelease(t)
	_, section, found := strings.Cut(read(t, "README.md"), "## Releases")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("the README has no section on releases")
	}
	_, archive, _ := strings.Cut(section, "An archive holds ")
	archive, _, _ = strings.Cut(archive, ".\n")
	var promised []string
	for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(archive, -1) {
		promised = append(promised, name[1])
	}
	held := []string{r.Builds[0].Binary}
	for _, file := range r.Archives[0].Files {
		read(t, file.Src)
		if name := path.Base(file.Src); name == file.Src || file.StripParent {
			held = append(held, name)
		} else {
			held = append(held, file.Src)
		}
	}
	slices.Sort(promised)
	slices.Sort(held)
	if diff := cmp.Diff(held, promised); diff != "" {
		t.Errorf("an archive (-held +promised):\n%s", diff)
	}
	for _, word := range []string{r.Checksum.NameTemplate, r.Sboms[0].Cmd} {
		if word == "" || !strings.Contains(section, word) {
			t.Errorf("the README does not speak of %q", word)
		}
	}

	// Whoever runs workers needs each definition that there is.
	for _, pattern := range []string{"*.yml", "*.yaml", "*.service", "*.plist"} {
		definitions, err := filepath.Glob("../../cmd/ocr-worker/" + pattern)
		if err != nil || len(definitions) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, file := range definitions {
			if !slices.Contains(held, filepath.Base(file)) {
				t.Errorf("no archive holds %s", filepath.Base(file))
			}
		}
	}
}
