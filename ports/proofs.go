package ports

import "perch/domain/session"

// DPoP reads proofs that a client holds a key (RFC 9449).
type DPoP interface {
	// Read returns what a proof says if it is well-formed and signed with the
	// public key in it, by one of Algorithms. Anything else is fault.Invalid,
	// named as session.BadProof. Whether it fits a request is not looked at.
	Read(proof string) (session.Proof, error)

	// Algorithms are the names of the signatures that are read (RFC 7518).
	Algorithms() []string
}
