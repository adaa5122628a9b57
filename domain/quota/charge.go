package quota

import "time"

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
}

// A Grip is what a bucket gave.
type Grip struct {
	Given int64
	Decision
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
	Window time.Duration
}
