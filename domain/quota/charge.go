package quota

import (
	"time"

	"perch/domain/fault"
)

// A Charge asks one bucket for calls.
type Charge struct {
	// Key names the bucket. A bucket of ours is named by key, maximum and window
	// together, one of X's by the key alone.
	Key    string
	Max    int64         // how many there are in a window; of X's window: as published, until X has said more
	Window time.Duration // begins with the first charge, or when X says
	Cost   int64         // how many are wanted; zero is one
	Least  int64         // how many will do; zero is all that are wanted
	Share  int64         // percent of the maximum beyond which nothing is given; zero is 100
	Theirs bool          // X counts, we count along: the bucket can be noted

	// Crowd is KIND:NAME where anybody can bring any number of such keys: a store that
	// has too many of the kind may count the others by this name. Empty: it may not.
	Crowd string
}

// A Grip is what a bucket gave.
type Grip struct {
	Given    int64
	Decision // Allowed: this bucket had what was wanted, whatever the others had
}

// A Verdict is the answer to several charges together: each bucket gave what was
// wanted, or none gave anything.
type Verdict struct {
	Allowed bool
	Full    int    // which charge was refused first, if one was
	Grips   []Grip // in the order of the charges, as the buckets are afterwards
}

// A Return gives back what a bucket gave, if its window is still the same.
type Return struct {
	Charge Charge
	Given  int64
	Reset  time.Time // of the window that gave it
}

// A Note is what X said of one of its windows.
type Note struct {
	Key    string
	Max    int64
	Used   int64
	Reset  time.Time
	Window time.Duration // how long such windows are; zero if that is not known
}

// A Bucket is a count within one window. The zero bucket is one that nothing was
// taken from yet.
type Bucket struct {
	Used    int64
	Reset   time.Time // when the window ends
	Guessed bool      // of X's window: its end is our guess, X has not said it
	Told    bool      // of X's window: X has said what the maximum is
	Max     int64     // what X said
}

// A Name tells buckets apart.
type Name struct {
	Key    string
	Max    int64         // -1: it is X's
	Window time.Duration // -1: it is X's
}

// Name returns the name of the charge's bucket.
func (c Charge) Name() Name {
	if c.Theirs {
		return NameOfTheirs(c.Key)
	}
	return Name{c.Key, c.Max, c.Window}
}

// NameOfTheirs returns the name of one of X's buckets.
func NameOfTheirs(key string) Name { return Name{key, -1, -1} }

// Complete returns the charges with what was left out, or fault.Invalid: each
// bucket can be charged once at a time.
func Complete(charges []Charge) ([]Charge, error) {
	out := make([]Charge, len(charges))
	seen := make(map[Name]bool, len(charges))
	for i, c := range charges {
		if seen[c.Name()] {
			return nil, fault.New(fault.Invalid, "the same limit is to be charged twice at once")
		}
		seen[c.Name()] = true
		c.Max = bounded(c.Max)
		c.Cost = max(c.Cost, 1)
		if c.Least < 1 || c.Least > c.Cost {
			c.Least = c.Cost
		}
		if c.Share < 1 || c.Share > 100 {
			c.Share = 100
		}
		out[i] = c
	}
	return out, nil
}

// most keeps numbers small enough to be whole in every store, Lua's among them.
const most = 1 << 50

func bounded(n int64) int64 { return min(max(n, 0), most) }
