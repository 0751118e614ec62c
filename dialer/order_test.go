package dialer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gvpocr/worker/resolve"
)

// critical are values of χ² that pure chance exceeds once in a million runs, by degrees of freedom.
var critical = map[int]float64{1: 23.93, 2: 27.63, 5: 35.89, 23: 70.55}

func TestEqualsAreDrawnInTheSharesOfRFC2782(t *testing.T) {
	for _, weights := range [][]uint16{
		{1, 1},
		{1, 3},
		{3, 1},
		{0, 1},
		{5, 0},
		{0, 0},
		{0, 0, 0},
		{0, 0, 4},
		{2, 0, 1},
		{10, 20, 70},
		{65535, 65535, 30000},
		{0, 3, 0, 1},
		{4, 3, 2, 1},
	} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			var endpoints []resolve.Endpoint
			for i, w := range weights {
				endpoints = append(endpoints, resolve.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", i), Weight: w})
			}
			const draws = 60_000
			got := map[string]int{}
			for range draws {
				got[addresses(order("tcp", endpoints))]++
			}
			want := map[string]float64{}
			chances(endpoints, nil, 1, want)
			squares := 0.0
			for row, p := range want {
				expected := draws * p
				squares += (float64(got[row]) - expected) * (float64(got[row]) - expected) / expected
				delete(got, row)
			}
			if len(got) > 0 {
				t.Errorf("orders that can't be: %v", got)
			}
			if limit := critical[len(want)-1]; squares > limit {
				t.Errorf("χ² = %.1f with %d orders, more than %.1f", squares, len(want), limit)
			}
		})
	}
}

// chances adds to p the chance of each order of the endpoints that rest after those in row, drawn one after the other
// by RFC 2782's shares: weight w of S+1, one of S+1 for all of weight 0 together; w of S if there are none of those.
func chances(rest []resolve.Endpoint, row []resolve.Endpoint, chance float64, p map[string]float64) {
	if len(rest) == 0 {
		p[addresses(row)] += chance
		return
	}
	sum, zeros := 0.0, 0.0
	for _, e := range rest {
		sum += float64(e.Weight)
		if e.Weight == 0 {
			zeros++
		}
	}
	for i, e := range rest {
		share := float64(e.Weight) / sum
		switch {
		case e.Weight == 0:
			share = 1 / (zeros * (sum + 1))
		case zeros > 0:
			share = float64(e.Weight) / (sum + 1)
		}
		chances(slices.Delete(slices.Clone(rest), i, i+1), append(slices.Clip(row), e), chance*share, p)
	}
}

func TestPrioritiesGoBeforeWeights(t *testing.T) {
	endpoints := []resolve.Endpoint{
		{Addr: "10.0.0.3:1", Priority: 20, Weight: 65535},
		{Addr: "10.0.0.1:1", Priority: 0, Weight: 0},
		{Addr: "10.0.0.2:1", Priority: 10, Weight: 1},
	}
	given := slices.Clone(endpoints)
	for range 100 {
		if got := addresses(order("tcp", endpoints)); got != "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1" {
			t.Fatalf("got %s", got)
		}
	}
	if !slices.Equal(given, endpoints) {
		t.Errorf("the answer, which others share, was changed: %v", endpoints)
	}
}

func TestOrderLeavesOutWhatTheNetworkCanNotReach(t *testing.T) {
	endpoints := []resolve.Endpoint{{Addr: "10.0.0.1:1", Weight: 1}, {Addr: "[2001:db8::1]:1"}, {Addr: "name:1", Weight: 5}}
	for network, want := range map[string]string{"tcp4": "10.0.0.1:1", "tcp6": "[2001:db8::1]:1"} {
		if got := addresses(order(network, endpoints)); got != want {
			t.Errorf("%s: got %s, want %s", network, got, want)
		}
	}
	if got := order("tcp", nil); len(got) != 0 {
		t.Errorf("nothing became %v", got)
	}
}

func addresses(endpoints []resolve.Endpoint) string {
	var addrs []string
	for _, e := range endpoints {
		addrs = append(addrs, e.Addr)
	}
	return strings.Join(addrs, " ")
}

func BenchmarkOrder(b *testing.B) {
	endpoints := []resolve.Endpoint{
		{Addr: "10.0.0.1:1", Weight: 1}, {Addr: "10.0.0.2:1", Weight: 3}, {Addr: "10.0.0.3:1", Priority: 1},
	}
	b.ReportAllocs()
	for b.Loop() {
		order("tcp", endpoints)
	}
}
