package migrate

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/mattn/go-shellwords"
)

// proxy is a service that runs socat.
type proxy struct {
	service  string
	forwards []forward
}

// forward is one listening socat. Its fields are as the file has them, variables included.
type forward struct {
	port         string // that it listens at
	host, target string // target is the port at host
}

// parseProxy reads a service as the file has it; image is what its image's variables make of it. It reports false if the
// service does not run socat.
func parseProxy(name, image string, service map[string]any) (proxy, bool, error) {
	entrypoint, err := words(service["entrypoint"])
	if err != nil {
		return proxy{}, false, fmt.Errorf("service %s: entrypoint: %w", name, err)
	}
	command, err := words(service["command"])
	if err != nil {
		return proxy{}, false, fmt.Errorf("service %s: command: %w", name, err)
	}
	if len(entrypoint) == 0 && isSocatImage(image) && !(len(command) > 0 && isShell(command)) {
		entrypoint = []string{"socat"} // what such images have
		if len(command) > 0 && path.Base(command[0]) == "socat" {
			command = command[1:]
		}
	}
	argv := slices.Concat(entrypoint, command)
	if !slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, "socat") }) {
		return proxy{}, false, nil
	}
	p := proxy{service: name}
	commands := [][]string{argv}
	if isShell(argv) {
		if commands, err = shellCommands(argv); err != nil {
			return p, true, fmt.Errorf("service %s: %w", name, err)
		}
	}
	for _, c := range commands {
		f, err := parseSocat(c)
		if err != nil {
			return p, true, fmt.Errorf("service %s: %w", name, err)
		}
		p.forwards = append(p.forwards, f)
	}
	if len(p.forwards) == 0 {
		return p, true, fmt.Errorf("service %s: its socat forwards nothing", name)
	}
	return p, true, nil
}

func isSocatImage(image string) bool {
	base, _, _ := strings.Cut(path.Base(image), ":")
	return strings.Contains(base, "socat")
}

// runsSocat reports whether a service runs socat in the end, wherever it has that from.
func runsSocat(s types.ServiceConfig) bool {
	return isSocatImage(s.Image) || slices.ContainsFunc(slices.Concat(s.Entrypoint, s.Command), func(word string) bool { return strings.Contains(word, "socat") })
}

// words are a command's, which is a list or one string.
func words(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		veiled, lift := veil(v)
		list, err := shellwords.Parse(veiled)
		for i := range list {
			list[i] = lift(list[i])
		}
		return list, err
	case []any:
		var list []string
		for _, item := range v {
			list = append(list, fmt.Sprint(item))
		}
		return list, nil
	}
	return nil, fmt.Errorf("it is neither a string nor a list")
}

func isShell(argv []string) bool {
	return len(argv) >= 2 && slices.Contains([]string{"sh", "bash", "ash", "dash"}, path.Base(argv[0])) && strings.HasPrefix(argv[1], "-") && strings.HasSuffix(argv[1], "c")
}

// between separates the commands of a shell's script as far as proxies need it: several socats side by side.
var between = regexp.MustCompile(`\s*(?:&&|&|;|\n)\s*`)

func shellCommands(argv []string) ([][]string, error) {
	if len(argv) != 3 {
		return nil, fmt.Errorf("its shell gets %d words instead of one script", len(argv)-2)
	}
	var commands [][]string
	script, lift := veil(argv[2])
	for _, text := range between.Split(script, -1) {
		c, err := words(lift(text))
		if err != nil {
			return nil, fmt.Errorf("its script: %w", err)
		}
		if len(c) > 0 && c[0] == "exec" {
			c = c[1:]
		}
		switch {
		case len(c) == 0, len(c) == 1 && c[0] == "wait":
		case path.Base(c[0]) == "socat":
			commands = append(commands, c)
		default:
			return nil, fmt.Errorf("its script runs %s beside socat", c[0])
		}
	}
	return commands, nil
}

// valued are socat's options that take a word of their own.
var valued = []string{"-T", "-t", "-b", "-lf", "-lp", "-L", "-W", "-r", "-R"}

// parseSocat reads socat [options] <listening address> <target address>.
func parseSocat(argv []string) (forward, error) {
	if len(argv) == 0 || path.Base(argv[0]) != "socat" {
		return forward{}, fmt.Errorf("%s is started, which may start socat; only socat itself and sh -c are understood", strings.Join(argv[:min(len(argv), 1)], ""))
	}
	var addresses []string
	for i := 1; i < len(argv); i++ {
		switch {
		case slices.Contains(valued, argv[i]):
			i++
		case strings.HasPrefix(argv[i], "-") && argv[i] != "-":
		default:
			addresses = append(addresses, argv[i])
		}
	}
	if len(addresses) == 0 {
		return forward{}, errors.New("its socat has no addresses, as if others extended it: write its image and command into those, and remove it")
	}
	if len(addresses) != 2 {
		return forward{}, fmt.Errorf("socat has %d addresses instead of two", len(addresses))
	}
	listen, target := addressParts(addresses[0]), addressParts(addresses[1])
	if !slices.Contains([]string{"TCP-LISTEN", "TCP4-LISTEN", "TCP6-LISTEN", "TCP-L", "TCP4-L", "TCP6-L"}, strings.ToUpper(listen[0])) || len(listen) != 2 {
		return forward{}, fmt.Errorf("socat listens at %s, which is not TCP-LISTEN:port", listen[0])
	}
	if !slices.Contains([]string{"TCP", "TCP4", "TCP6", "TCP-CONNECT", "TCP4-CONNECT", "TCP6-CONNECT"}, strings.ToUpper(target[0])) {
		return forward{}, fmt.Errorf("socat forwards to %s, which is not TCP:host:port", target[0])
	}
	if len(target) != 3 || target[1] == "" || target[2] == "" {
		return forward{}, fmt.Errorf("socat's target is not TCP:host:port")
	}
	f := forward{port: listen[1], host: target[1], target: target[2]}
	for _, part := range []string{f.port, f.host, f.target} {
		if strings.Contains(part, "$$") || strings.ContainsAny(part, "`") {
			return forward{}, fmt.Errorf("%s is known to a shell in the container only", part)
		}
	}
	return f, nil
}

// addressParts splits TCP:host:port,option=… at the colons that are in no ${…} and no […], and drops the options.
func addressParts(address string) []string {
	var parts []string
	depth, begin := 0, 0
	for i, r := range address {
		switch {
		case strings.ContainsRune("{[", r):
			depth++
		case strings.ContainsRune("}]", r):
			depth--
		case depth == 0 && r == ':':
			parts = append(parts, address[begin:i])
			begin = i + 1
		case depth == 0 && r == ',':
			return append(parts, address[begin:i])
		}
	}
	return append(parts, address[begin:])
}
