package resolve

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Bounds of a cache file, for reading and writing.
const (
	maxCacheFile   = 4 << 20
	maxCacheAnswer = 64 << 10 // of one name: about a thousand endpoints
)

const cacheFileVersion = 1

// timeMoved is how far an answer's time in the file may lag behind if nothing else has changed.
const timeMoved = 10 * time.Minute

// clockSkew is how far in the future an answer of the file may lie: clocks are set back a little now and then.
const clockSkew = time.Minute

type cacheFile struct {
	Version int             `json:"version"`
	Answers json.RawMessage `json:"answers"`
}

type fileAnswer struct {
	Host      string         `json:"host"`
	Port      string         `json:"port"`
	Time      time.Time      `json:"time"`          // when the answer came
	TTL       time.Duration  `json:"ttl,omitempty"` // in ns
	Source    string         `json:"source"`
	Partial   bool           `json:"partial,omitempty"`
	Endpoints []fileEndpoint `json:"endpoints"`
}

type fileEndpoint struct {
	Addr     string `json:"addr"`
	Priority uint16 `json:"priority"`
	Weight   uint16 `json:"weight"`
}

// loadAnswers reads a cache file. A missing one is as good as an empty one; the error is why nothing of the file is used. The
// map is never nil.
func loadAnswers(file string, now time.Time, maxStale time.Duration) (map[cacheKey]filed, error) {
	answers := map[cacheKey]filed{}
	data, err := readCacheFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return answers, nil
	}
	if err != nil {
		return answers, err
	}
	var content cacheFile
	if err := json.Unmarshal(data, &content); err != nil {
		return answers, fmt.Errorf("not a cache file: %w", err)
	}
	if content.Version != cacheFileVersion {
		return answers, fmt.Errorf("its version is %d, and this program reads %d", content.Version, cacheFileVersion)
	}
	if err := decodeAnswers(content.Answers, func(a *fileAnswer) {
		key := cacheKey{canonical(a.Host), a.Port}
		if _, twice := answers[key]; !twice {
			answers[key] = a.check(now, maxStale)
		}
	}); err != nil {
		return map[cacheKey]filed{}, err
	}
	return answers, nil
}

func readCacheFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCacheFile+1))
	if err == nil && len(data) > maxCacheFile {
		err = fmt.Errorf("larger than %d MiB", maxCacheFile>>20)
	}
	return data, err
}

// decodeAnswers hands each answer of a list to take, one at a time: decoded whole, a list of nothings would take a
// hundred times its size.
func decodeAnswers(list []byte, take func(*fileAnswer)) error {
	dec := json.NewDecoder(bytes.NewReader(list))
	if token, err := dec.Token(); err != nil || token != json.Delim('[') {
		return errors.New("not a cache file: it has no list of answers")
	}
	for count := 0; dec.More(); count++ {
		if count == maxCacheNames {
			return fmt.Errorf("more than %d answers", maxCacheNames)
		}
		var one json.RawMessage
		if err := dec.Decode(&one); err != nil {
			return fmt.Errorf("not a cache file: answer %d: %w", count+1, err)
		}
		if len(one) > maxCacheAnswer {
			return fmt.Errorf("answer %d is larger than %d KiB", count+1, maxCacheAnswer>>10)
		}
		var a fileAnswer
		if err := json.Unmarshal(one, &a); err != nil {
			return fmt.Errorf("not a cache file: answer %d: %w", count+1, err)
		}
		take(&a)
	}
	return nil
}

// check turns an answer of the file into one of the cache, or says why it can't be used.
func (a *fileAnswer) check(now time.Time, maxStale time.Duration) filed {
	age := now.Sub(a.Time)
	switch {
	case age < -clockSkew:
		return filed{unusable: fmt.Errorf("its answer is of a time to come, %v; is the clock right?", a.Time)}
	case age >= maxStale:
		return filed{unusable: fmt.Errorf("its answer is %v old, the limit is %v", age.Round(time.Second), maxStale)}
	case len(a.Endpoints) == 0:
		return filed{unusable: errors.New("its answer has no endpoint")}
	}
	at := a.Time
	if age < 0 {
		at = now
	}
	endpoints := make([]Endpoint, len(a.Endpoints))
	for i, e := range a.Endpoints {
		if err := checkEndpoint(e.Addr); err != nil {
			return filed{unusable: fmt.Errorf("its endpoint %d: %w", i+1, err)}
		}
		endpoints[i] = Endpoint(e)
	}
	answer := Answer{Endpoints: endpoints, TTL: max(a.TTL, 0), Source: a.Source, Partial: a.Partial}
	return filed{answer: answer, at: at, saved: at, fromFile: true}
}

func checkEndpoint(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("not host:port")
	}
	if err := checkPort(port); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return checkHostName(host)
}

// saveAnswers replaces a cache file as a whole: a reader sees the old one or the new one, also after a crash.
func saveAnswers(file string, answers map[cacheKey]filed) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write cache file %s: %w", file, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(encodeAnswers(answers))
	if err == nil {
		err = f.Sync()
	}
	if err := cmp.Or(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// encodeAnswers writes the newest answers, as many as a file may hold, one a line. Those that would not be read again are left
// out: a resolver may give ports by name.
func encodeAnswers(answers map[cacheKey]filed) []byte {
	const end = "\n]}\n"
	keys := slices.SortedFunc(maps.Keys(answers), func(a, b cacheKey) int {
		return cmp.Or(answers[b].at.Compare(answers[a].at), cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port))
	})
	data := fmt.Appendf(nil, `{"version":%d,"answers":[`, cacheFileVersion)
	separator := "\n"
	for _, key := range keys[:min(len(keys), maxCacheNames)] {
		line, ok := encodeAnswer(key, answers[key])
		if !ok {
			continue
		}
		if len(data)+len(separator)+len(line)+len(end) > maxCacheFile {
			break
		}
		data = append(append(data, separator...), line...)
		separator = ",\n"
	}
	return append(data, end...)
}

func encodeAnswer(key cacheKey, f filed) (line []byte, ok bool) {
	endpoints := make([]fileEndpoint, len(f.answer.Endpoints))
	for i, e := range f.answer.Endpoints {
		if checkEndpoint(e.Addr) != nil {
			return nil, false
		}
		endpoints[i] = fileEndpoint(e)
	}
	line, err := json.Marshal(fileAnswer{
		Host:      key.host,
		Port:      key.port,
		Time:      f.at.UTC(),
		TTL:       f.answer.TTL,
		Source:    f.answer.Source,
		Partial:   f.answer.Partial,
		Endpoints: endpoints,
	})
	return line, err == nil && len(line) <= maxCacheAnswer
}

// fileLocked makes answer the last good one of a name, and has the file written if that says otherwise.
func (c *Cache) fileLocked(n *cacheName, answer Answer) {
	old := n.good
	n.good = &filed{answer: answer, at: time.Now()}
	if c.shelf == nil {
		return
	}
	if old != nil && sameEndpoints(old.answer.Endpoints, answer.Endpoints) && old.answer.Source == answer.Source &&
		old.answer.Partial == answer.Partial && n.good.at.Sub(old.saved) <= timeMoved {
		n.good.saved = old.saved
		return
	}
	n.good.saved = n.good.at
	c.unsavedLocked()
}

func (c *Cache) unsavedLocked() {
	c.unsaved = true
	if c.saveDue == never && !c.saving {
		c.saveDue = c.now() + saveEvery
	}
}

// filedLocked is what the file is to hold.
func (c *Cache) filedLocked() map[cacheKey]filed {
	if c.shelf == nil {
		return nil
	}
	answers := make(map[cacheKey]filed, len(c.shelf)+len(c.names))
	for key, f := range c.shelf {
		if f.unusable == nil && time.Since(f.at) < c.cfg.MaxStale {
			answers[key] = f
		}
	}
	for key, n := range c.names {
		if n.good != nil {
			answers[key] = *n.good
		}
	}
	return answers
}

// save writes the file in the background.
func (c *Cache) save() {
	defer c.running.Done()
	c.mu.Lock()
	if c.closed { // Close writes what there is
		c.mu.Unlock()
		return
	}
	answers := c.filedLocked()
	c.unsaved = false
	c.mu.Unlock()

	err := saveAnswers(c.cfg.File, answers)
	if err != nil && c.unwritable.CompareAndSwap(false, true) {
		c.cfg.Logger.Warn("last good answers are not kept over a restart", "error", err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.saving = false
	switch {
	case err != nil: // tried again with the next change
		c.unsaved = true
		c.writeErr = cmp.Or(c.writeErr, err)
	case c.unsaved:
		c.unsavedLocked()
	}
	c.armLocked()
}
