package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"perch/domain/fault"
)

func TestKindIsFoundThroughWrapping(t *testing.T) {
	err := fmt.Errorf("reading: %w", fault.New(fault.NotFound, "no such %s", "thing").Because(io.EOF))
	for _, target := range []error{fault.NotFound, io.EOF} {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
	if errors.Is(err, fault.Conflict) {
		t.Error("a missing thing is taken for a conflict")
	}
	if got := fault.KindOf(err); got != fault.NotFound {
		t.Errorf("kind is %v", got)
	}
	if got := fault.KindOf(io.EOF); got != fault.Internal {
		t.Errorf("an unclassified error is %v, not internal", got)
	}
	if got := fault.KindOf(fault.Limited); got != fault.Limited {
		t.Errorf("a bare kind is %v", got)
	}
}

func TestBuildersLeaveTheOriginalAlone(t *testing.T) {
	base := fault.New(fault.Limited, "slow down").With("a", "1")
	changed := base.After(time.Second).Named("x").With("b", "2").Because(io.EOF)
	if base.Wait != 0 || base.Slug != "" || len(base.Extra) != 1 || errors.Is(base, io.EOF) {
		t.Errorf("the original changed: %+v", base)
	}
	if changed.Wait != time.Second || fault.SlugOf(changed) != "x" || len(changed.Extra) != 2 {
		t.Errorf("a change was lost: %+v", changed)
	}
}

func TestEveryKindSaysSomethingOfItsOwn(t *testing.T) {
	seen := map[string]fault.Kind{}
	for i, k := range fault.Kinds() {
		if int(k) != i {
			t.Errorf("Kinds lists %v at %d", k, i)
		}
		if other, dup := seen[k.Error()]; dup {
			t.Errorf("kinds %d and %d both say %q", k, other, k.Error())
		}
		seen[k.Error()] = k
	}
}
