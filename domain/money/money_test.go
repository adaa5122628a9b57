package money_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"perch/domain/money"
)

func TestAmountsAreWrittenInDollars(t *testing.T) {
	for m, want := range map[money.Micros]string{
		0: "0.00", 15_000: "0.015", 200_000: "0.20", money.USD: "1.00", 12_500_000: "12.50", 1: "0.000001", -15_000: "-0.015",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d is written %s, want %s", m, got, want)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := money.Micros(rapid.Int64Range(0, math.MaxInt64).Draw(t, "amount"))
		if got, err := money.Parse(m.String()); err != nil || got != m {
			t.Errorf("%d is written %s and read %d, %v", m, m, got, err)
		}
	})
}

func TestWhatIsNoAmountIsRefused(t *testing.T) {
	for _, s := range []string{"", ".", "-1", "+1", "1e3", "1,50", "0.0000001", "99999999999999999999", "1.2.3", " 1", "0x1"} {
		if m, err := money.Parse(s); err == nil {
			t.Errorf("%q is read as %s", s, m)
		}
	}
	for s, want := range map[string]money.Micros{"0": 0, "1": money.USD, ".5": 500_000, "5.": 5 * money.USD, "007.10": 7_100_000} {
		if m, err := money.Parse(s); err != nil || m != want {
			t.Errorf("%q is read as %s, %v", s, m, err)
		}
	}
}

func TestABudgetIsSomethingThatCanBeKept(t *testing.T) {
	for _, b := range []money.Budget{{Day: -1}, {Month: -1}, {Day: 1e9*money.USD + 1}, {Month: math.MaxInt64}} {
		if b.Check() == nil {
			t.Errorf("%+v is taken", b)
		}
	}
	if err := (money.Budget{Day: 1}).Check(); err != nil {
		t.Error(err)
	}
}
