package mongotest

import (
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func (r *request) ping() (bson.D, error) {
	r.ignore(r.command)
	return bson.D{}, r.end()
}

func (r *request) buildInfo() (bson.D, error) {
	r.ignore(r.command)
	return bson.D{
		{Key: "version", Value: serverVersion},
		{Key: "gitVersion", Value: "mongotest"},
		{Key: "modules", Value: bson.A{}},
		{Key: "javascriptEngine", Value: "none"},
		{Key: "versionArray", Value: bson.A{int32(7), int32(0), int32(14), int32(0)}},
		{Key: "bits", Value: int32(64)},
		{Key: "debug", Value: false},
		{Key: "maxBsonObjectSize", Value: int32(maxDocumentSize)},
		{Key: "storageEngines", Value: bson.A{"mongotest"}},
	}, r.end()
}

// endSessions ends nothing: what is kept of a session's last write goes when
// it is too old, and a retry may still come on another connection.
func (r *request) endSessions() (bson.D, error) {
	for _, v := range r.array(r.command) {
		id, ok := v.(bson.D)
		if !ok {
			r.wrongType(r.command, v, "object")
			break
		}
		if err := checkSession(id); err != nil {
			return nil, err
		}
	}
	return bson.D{}, r.end()
}

// serverStatus has only what tells one server from another. Sections can be
// switched on and off by fields of any name, so none is unknown.
func (r *request) serverStatus() (bson.D, error) {
	if r.err != nil {
		return nil, r.err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	uptime := time.Since(r.node.started)
	return bson.D{
		{Key: "host", Value: host},
		{Key: "version", Value: serverVersion},
		{Key: "process", Value: "mongod"},
		{Key: "pid", Value: int64(os.Getpid())},
		{Key: "uptime", Value: uptime.Seconds()},
		{Key: "uptimeMillis", Value: uptime.Milliseconds()},
		{Key: "localTime", Value: bson.NewDateTimeFromTime(time.Now())},
		{Key: "storageEngine", Value: bson.D{{Key: "name", Value: "mongotest"}, {Key: "persistent", Value: r.node.store.journal != nil}}},
	}, nil
}
