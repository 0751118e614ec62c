package mongotest

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// indexKey is a text that two values share if and only if compare finds them
// equal.
func indexKey(v any) string {
	return string(appendIndexKey(nil, v))
}

func appendIndexKey(dst []byte, v any) []byte {
	dst = strconv.AppendInt(dst, int64(rank(v)), 10)
	dst = append(dst, ':')
	switch v := v.(type) {
	case int32, int64, float64, bson.Decimal128:
		return appendNumberKey(dst, v)
	case string, bson.Symbol:
		return appendText(dst, text(v))
	case bson.D:
		for i := range v {
			dst = append(dst, '{')
			dst = appendText(dst, v[i].Key)
			dst = appendIndexKey(dst, v[i].Value)
		}
		return append(dst, '}')
	case bson.A:
		for i := range v {
			dst = append(dst, '[')
			dst = appendIndexKey(dst, v[i])
		}
		return append(dst, ']')
	case bson.Binary:
		dst = append(dst, v.Subtype)
		return appendText(dst, string(v.Data))
	case bson.ObjectID:
		return append(dst, v[:]...)
	case bool:
		return strconv.AppendBool(dst, v)
	case bson.DateTime:
		return strconv.AppendInt(dst, int64(v), 10)
	case bson.Timestamp:
		return strconv.AppendUint(dst, uint64(v.T)<<32|uint64(v.I), 10)
	case bson.Regex:
		return appendText(appendText(dst, v.Pattern), v.Options)
	case bson.DBPointer:
		return append(appendText(dst, v.DB), v.Pointer[:]...)
	case bson.JavaScript:
		return appendText(dst, string(v))
	case bson.CodeWithScope:
		scope, _ := v.Scope.(bson.D)
		return appendIndexKey(appendText(dst, string(v.Code)), scope)
	}
	return dst
}

// appendText leads with the length, so that no text can run into its
// neighbour.
func appendText(dst []byte, s string) []byte {
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, ':')
	return append(dst, s...)
}

func appendNumberKey(dst []byte, v any) []byte {
	if isNaN(v) {
		return append(dst, "nan"...)
	}
	if sign := infinity(v); sign != 0 {
		return strconv.AppendInt(append(dst, "inf"...), int64(sign), 10)
	}
	if n, ok := asInt64(v); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	return append(dst, exact(v).RatString()...)
}
