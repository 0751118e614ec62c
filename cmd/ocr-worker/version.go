package main

import "runtime/debug"

// release is the version of a released binary, set by the linker: -X main.release=v1.2.3.
var release string

// version is the release, or what the build knows of where it comes from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "development"
	}
	return v + " " + info.GoVersion
}
