package xapi_test

import (
	"testing"

	"perch/domain/xapi"
)

func BenchmarkFind(b *testing.B) {
	for b.Loop() {
		if _, _, ok := xapi.Find("DELETE", "/2/users/12345/likes/67890"); !ok {
			b.Fatal("not found")
		}
	}
}
