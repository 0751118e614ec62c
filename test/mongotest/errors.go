package mongotest

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// code is one of MongoDB's error codes. Their numbers are the ones that every
// MongoDB server answers with: src/mongo/base/error_codes.yml of its source.
type code int32

const (
	codeInternalError              code = 1
	codeBadValue                   code = 2
	codeFailedToParse              code = 9
	codeUnauthorized               code = 13
	codeTypeMismatch               code = 14
	codeOverflow                   code = 15
	codeProtocolError              code = 17
	codeAuthenticationFailed       code = 18
	codeIllegalOperation           code = 20
	codeInvalidLength              code = 21
	codeInvalidBSON                code = 22
	codePathNotViable              code = 28
	codeConflictingUpdateOperators code = 40
	codeCursorNotFound             code = 43
	codeNamespaceExists            code = 48
	codeDollarPrefixedFieldName    code = 52
	codeNotSingleValueField        code = 54
	codeInvalidIDField             code = 53
	codeNotExactValueField         code = 55
	codeEmptyFieldName             code = 56
	codeCommandNotFound            code = 59
	codeImmutableField             code = 66
	codeCannotCreateIndex          code = 67
	codeInvalidOptions             code = 72
	codeInvalidNamespace           code = 73
	codeIndexAlreadyExists         code = 68
	codeParallelArrays             code = 171
	codeIndexOptionsConflict       code = 85
	codeIndexKeySpecsConflict      code = 86
	codeNotAReplicaSet             code = 123
	codeInvalidIndexOption         code = 197
	codeNotImplemented             code = 238
	codeAPIVersionError            code = 322
	codeMechanismUnavailable       code = 334
	codeUnsupportedOpQuery         code = 352
	codeObjectTooLarge             code = 10334
	codeDuplicateKey               code = 11000
	codeUpdateTooLarge             code = 17419
	codeUpsertTooLarge             code = 17420
	codeUnknownField               code = 40415
	codeDuplicateField             code = 40413
	codeNoReplicationEnabled       code = 76
	codeUnsatisfiableWriteConcern  code = 100
	codePrimarySteppedDown         code = 189
	codeTransactionTooOld          code = 225
	codeTooManyLogicalSessions     code = 261
	codeNotWritablePrimary         code = 10107
	codeInterruptedDueToReplState  code = 11602
	codeNotPrimaryNoSecondaryOk    code = 13435
	codeNotRetryable               code = 50768
	codeMissingField               code = 40414
)

var codeNames = map[code]string{
	codeInternalError:              "InternalError",
	codeBadValue:                   "BadValue",
	codeFailedToParse:              "FailedToParse",
	codeUnauthorized:               "Unauthorized",
	codeTypeMismatch:               "TypeMismatch",
	codeOverflow:                   "Overflow",
	codeProtocolError:              "ProtocolError",
	codeAuthenticationFailed:       "AuthenticationFailed",
	codeIllegalOperation:           "IllegalOperation",
	codeInvalidLength:              "InvalidLength",
	codeInvalidBSON:                "InvalidBSON",
	codePathNotViable:              "PathNotViable",
	codeConflictingUpdateOperators: "ConflictingUpdateOperators",
	codeCursorNotFound:             "CursorNotFound",
	codeNamespaceExists:            "NamespaceExists",
	codeDollarPrefixedFieldName:    "DollarPrefixedFieldName",
	codeNotSingleValueField:        "NotSingleValueField",
	codeInvalidIDField:             "InvalidIdField",
	codeNotExactValueField:         "NotExactValueField",
	codeEmptyFieldName:             "EmptyFieldName",
	codeCommandNotFound:            "CommandNotFound",
	codeImmutableField:             "ImmutableField",
	codeCannotCreateIndex:          "CannotCreateIndex",
	codeInvalidOptions:             "InvalidOptions",
	codeInvalidNamespace:           "InvalidNamespace",
	codeIndexAlreadyExists:         "IndexAlreadyExists",
	codeParallelArrays:             "CannotIndexParallelArrays",
	codeIndexOptionsConflict:       "IndexOptionsConflict",
	codeIndexKeySpecsConflict:      "IndexKeySpecsConflict",
	codeNotAReplicaSet:             "NotAReplicaSet",
	codeInvalidIndexOption:         "InvalidIndexSpecificationOption",
	codeNotImplemented:             "NotImplemented",
	codeAPIVersionError:            "APIVersionError",
	codeMechanismUnavailable:       "MechanismUnavailable",
	codeUnsupportedOpQuery:         "UnsupportedOpQueryCommand",
	codeObjectTooLarge:             "BSONObjectTooLarge",
	codeDuplicateKey:               "DuplicateKey",
	codeNoReplicationEnabled:       "NoReplicationEnabled",
	codeUnsatisfiableWriteConcern:  "UnsatisfiableWriteConcern",
	codePrimarySteppedDown:         "PrimarySteppedDown",
	codeTransactionTooOld:          "TransactionTooOld",
	codeTooManyLogicalSessions:     "TooManyLogicalSessions",
	codeNotWritablePrimary:         "NotWritablePrimary",
	codeInterruptedDueToReplState:  "InterruptedDueToReplStateChange",
	codeNotPrimaryNoSecondaryOk:    "NotPrimaryNoSecondaryOk",
}

// name is the codeName of a reply; MongoDB calls a code without a name after
// its number.
func (c code) name() string {
	if n, ok := codeNames[c]; ok {
		return n
	}
	return fmt.Sprintf("Location%d", int32(c))
}

// serverError is an error that goes to the client.
type serverError struct {
	code    code
	message string
	// details are further fields of the reply: keyPattern and keyValue of a
	// duplicate key.
	details bson.D
	// whole: where a statement of a write command meets it, the command ends.
	whole bool
}

func (e *serverError) Error() string {
	return fmt.Sprintf("%s (%d): %s", e.code.name(), int32(e.code), e.message)
}

func failf(c code, format string, args ...any) error {
	return &serverError{code: c, message: fmt.Sprintf(format, args...)}
}

// unsupported refuses what MongoDB knows and this server does not.
func unsupported(what string) error {
	return failf(codeNotImplemented, "mongotest does not support %s", what)
}

func asServerError(err error) *serverError {
	if e, ok := errors.AsType[*serverError](err); ok {
		return e
	}
	return &serverError{code: codeInternalError, message: err.Error()}
}

// reply is the error as a command's answer.
func (e *serverError) reply() bson.D {
	d := bson.D{
		{Key: "ok", Value: 0.0},
		{Key: "errmsg", Value: e.message},
		{Key: "code", Value: int32(e.code)},
		{Key: "codeName", Value: e.code.name()},
	}
	return append(d, e.details...)
}

// writeError is the error as one entry of a write command's writeErrors.
func (e *serverError) writeError(index int) bson.D {
	d := bson.D{
		{Key: "index", Value: int32(index)},
		{Key: "code", Value: int32(e.code)},
	}
	d = append(d, e.details...)
	return append(d, bson.E{Key: "errmsg", Value: e.message})
}
