package mongotest_test

import (
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestWhatEveryCommandChecks(t *testing.T) {
	lsid := doc("id", bson.Binary{Subtype: 4, Data: make([]byte, 16)})
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, doc("_id", 1))
		insert := func(more ...any) bson.D {
			return append(doc("insert", c, "documents", list(doc("a", 1))), doc(more...)...)
		}
		// What a replica set can do and a standalone server can't.
		alone := func(code int32) int32 {
			if s.set {
				return 0
			}
			return code
		}
		for _, test := range []struct {
			name    string
			command bson.D
			code    int32
		}{
			{"an unknown command", doc("frobnicate", 1), 59},
			{"a command is known by its exact name", doc("Find", c), 59},
			{"an unknown field", doc("find", c, "frob", 1), 40415},
			{"an unknown field of a statement", doc("update", c, "updates", list(doc("q", doc(), "u", doc("$set", doc("a", 1)), "frob", 1))), 40415},
			{"a missing field", doc("insert", c), 40414},
			{"a field given twice", append(doc("find", c, "limit", 1), doc("limit", 2)...), 40413},
			{"a field of the wrong type", doc("find", c, "filter", 1), 14},
			{"an option of the wrong type", doc("find", c, "limit", "1"), 14},
			{"a flag of the wrong type", insert("ordered", "yes"), 14},
			{"a collection that is no name", doc("find", 1), 73},
			{"an empty name", doc("find", ""), 73},
			{"a comment", doc("find", c, "comment", doc("why", 1)), 0},
			{"a time limit", doc("find", c, "maxTimeMS", 1000), 0},
			{"a time limit below zero", doc("find", c, "maxTimeMS", -1), 2},
			{"a time limit that is no number", doc("find", c, "maxTimeMS", "1"), 2},
			{"a read concern", doc("find", c, "readConcern", doc("level", "local")), 0},
			{"an unknown read concern", doc("find", c, "readConcern", doc("level", "foo")), 2},
			{"write concern majority and journal", insert("writeConcern", doc("w", "majority", "j", true)), 0},
			{"write concern 1", insert("writeConcern", doc("w", 1, "wtimeout", 1000)), 0},
			{"write concern 2", insert("writeConcern", doc("w", 2)), alone(2)},
			{"a write concern for a read", doc("find", c, "writeConcern", doc("w", 1)), 72},
			{"the stable API", doc("find", c, "apiVersion", "1"), 0},
			{"an unknown version of it", doc("find", c, "apiVersion", "2"), 322},
			{"a read preference", doc("find", c, "$readPreference", doc("mode", "nearest")), 0},
			{"an unknown read preference", doc("find", c, "$readPreference", doc("mode", "farthest")), 9},
			{"stepping down elsewhere than in admin", doc("replSetStepDown", 1), 13},
		} {
			t.Run(test.name, func(t *testing.T) {
				wantCode(t, s.run(t, test.command), test.code)
			})
		}
		for _, command := range []string{"ping", "buildInfo", "connectionStatus", "serverStatus", "hello", "isMaster", "ismaster"} {
			wantSame(t, command, at(s.mustRun(t, doc(command, 1)), "ok"), 1.0)
		}
		s.mustRun(t, doc("endSessions", list(lsid)))
	})
}

func TestHelloSaysWhatDriversWant(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		if !s.own {
			t.Skip("values of this server")
		}
		for command, primary := range map[string]string{"hello": "isWritablePrimary", "isMaster": "ismaster"} {
			reply := s.mustRun(t, doc(command, 1, "helloOk", true, "unheardOf", 1))
			for _, want := range doc(primary, true, "helloOk", true, "maxBsonObjectSize", 16777216, "maxMessageSizeBytes", 48000000,
				"maxWriteBatchSize", 100000, "logicalSessionTimeoutMinutes", 30, "minWireVersion", 0, "maxWireVersion", 21, "readOnly", false) {
				wantSame(t, want.Key, at(reply, want.Key), want.Value)
			}
			for _, field := range []string{"localTime", "connectionId", "topologyVersion"} {
				if at(reply, field) == nil {
					t.Errorf("%s has no %s", command, field)
				}
			}
		}
		version := at(s.mustRun(t, doc("buildInfo", 1)), "version")
		wantSame(t, "version", fmt.Sprint(version)[:2], "7.")
		wantCode(t, s.run(t, doc("hello", 1, "maxAwaitTimeMS", 1)), 31368)
	})
}
