package migrate

import "regexp"

const masked = "****"

var secrets = []struct {
	pattern *regexp.Regexp
	with    string
}{
	// mongodb://user:password@host: up to the last @, since a password may hold one that is not encoded.
	{regexp.MustCompile(`(://(?:\$\{[^}\s]*\}|[^:/@\s$])*:)\S*(@)`), "${1}" + masked + "${2}"},
	// MONGO_PASSWORD: …, - SAMBA_PASS=…, api-key: …
	{regexp.MustCompile(`(?im)^([-+ ]?\s*(?:-\s*)?["']?\w*(?:passw|pass\b|_pass|pwd|secret|token|api_?key|credential)[\w.-]*["']?\s*[:=]\s*)\S.*$`), "${1}" + masked},
	// command: --password …
	{regexp.MustCompile(`(?i)(--?\w*(?:passw|pass|pwd|secret|token)\w*[= ]["']?)[^\s"']+`), "${1}" + masked},
}

// Mask returns text without the passwords that a compose file may hold.
func Mask(text string) string {
	for _, s := range secrets {
		text = s.pattern.ReplaceAllString(text, s.with)
	}
	return text
}
