// Package mongotest is a small MongoDB-compatible server for tests, in the
// manner of net/http/httptest: [Start] listens on a loopback port, keeps its
// documents in memory and on demand in a journal, and any MongoDB driver can
// use it.
//
//	srv, err := mongotest.Start(mongotest.Config{})
//	if err != nil {
//		t.Fatal(err)
//	}
//	defer srv.Close()
//	client, err := mongo.Connect(options.Client().ApplyURI(srv.URI()))
//
// It presents itself as a MongoDB 7.0 (wire version 21), standalone or a
// replica set, and behaves as one for the commands and operators that its
// README lists: results, the BSON types in them, and error codes are MongoDB's.
// Whatever it does not know is an error and never a silent match: a word
// unknown to MongoDB gets MongoDB's own code, and a feature that MongoDB has
// and this server lacks gets code 238, NotImplemented.
package mongotest
