package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/internal/migrate"
)

func TestADiffSaysWhichServiceALineBelongsToAndShowsNoPassword(t *testing.T) {
	const before = `x-worker: # of all
  restart: always
services:
  worker1:
    image: gvpocr-worker
    restart: always
    environment:
      A: secret of some kind
      B: secret of some kind
      C: secret of some kind
      MONGO_PASSWORD: gvp@123
    depends_on: [mongodb-proxy]
  "worker2": {image: "gvpocr-worker", depends_on: [mongodb-proxy], env_file: secret}
  mongodb-proxy:
    image: alpine/socat
`
	after := strings.NewReplacer(
		"      MONGO_PASSWORD: gvp@123\n    depends_on: [mongodb-proxy]\n", "      MAIN_SERVER_IP: 10.0.0.1\n",
		"  mongodb-proxy:\n    image: alpine/socat\n", "",
	).Replace(before)
	want := `--- compose.yml
+++ compose.yml (migrated)
@@ -8,8 +8,5 @@ worker1:
-      MONGO_PASSWORD: ****
-    depends_on: [mongodb-proxy]
+      MAIN_SERVER_IP: 10.0.0.1
   worker2:
-  mongodb-proxy:
-    image: alpine/socat
`
	if diff := cmp.Diff(want, migrate.Diff("compose.yml", []byte(before), []byte(after))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
