package dialer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
)

// echoing makes dials lead to an HTTP server that answers, after a time, with the address that was dialed.
func echoing(c *dialer.Config, takes time.Duration) (served *sync.WaitGroup) {
	served = new(sync.WaitGroup)
	c.DialFunc = func(_ context.Context, _, addr string) (net.Conn, error) {
		near, far := net.Pipe()
		served.Go(func() {
			defer far.Close()
			requests := bufio.NewReader(far)
			for {
				if _, err := http.ReadRequest(requests); err != nil {
					return
				}
				time.Sleep(takes)
				fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(addr), addr)
			}
		})
		return near, nil
	}
	return served
}

func get(client *http.Client) (string, error) {
	resp, err := client.Get("http://db:1/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestIdleConnectionsOfATransportDoNotOutliveAChangedAnswer(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var served *sync.WaitGroup
	runZone(t, z, func(c *dialer.Config) { served = echoing(c, 0) }, func(t *testing.T, b *bench) {
		transport := b.d.Transport()
		client := &http.Client{Transport: transport}
		for range 2 {
			if got, err := get(client); got != hostA+":1" {
				t.Errorf("got %s, %v", got, err)
			}
			time.Sleep(20 * time.Second)
		}
		if dials := b.names().Endpoints[0].Dials; dials != 1 {
			t.Errorf("%d dials for two requests, want one: the idle connection is used again", dials)
		}
		z.set(says(5*time.Second, hostB))
		time.Sleep(6 * time.Second)
		if got, err := get(client); got != hostB+":1" {
			t.Errorf("a request after the move went to %s, %v", got, err)
		}
		transport.CloseIdleConnections()
		served.Wait()
	})
}

func TestABusyTransportMovesTooAndLosesNoRequest(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var served *sync.WaitGroup
	runZone(t, z, func(c *dialer.Config) { served = echoing(c, 900*time.Millisecond) }, func(t *testing.T, b *bench) {
		transport := b.d.Transport()
		client := &http.Client{Transport: transport}
		moved := time.Now().Add(2 * time.Second)
		time.AfterFunc(2*time.Second, func() { z.set(says(5*time.Second, hostB)) })
		var mu sync.Mutex
		var last time.Duration
		var clients sync.WaitGroup
		for i := range 4 {
			clients.Go(func() {
				time.Sleep(time.Duration(i) * 230 * time.Millisecond)
				for time.Since(moved) < time.Minute {
					began := time.Since(moved)
					got, err := get(client)
					mu.Lock()
					if err != nil {
						t.Errorf("a request %v after the move failed: %v", began, err)
					} else if got == hostA+":1" {
						last = max(last, began)
					}
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			})
		}
		clients.Wait()
		if last > 14*time.Second {
			t.Errorf("the last request to the old server began %v after the move", last)
		}
		transport.CloseIdleConnections()
		served.Wait()
	})
}
