// Package ports holds the interfaces through which the application reaches the
// outside: stores, X, keys. In this house a port is always such an outward
// interface; whatever is technical, HTTP included, is an adapter.
//
// What holds for every port:
//
//   - A store reports fault.NotFound and fault.Conflict as its methods say, and
//     fault.Unavailable for everything that is its own trouble. It never
//     retries a Conflict; the application does.
//   - Every write is one guarded step. Swap compares versions: it stores next
//     only if what is stored still has old's version, and returns next with the
//     version after it. The ID and the version of next are ignored.
//   - Nothing returned shares memory with the store. Times come back in UTC and
//     exact to the microsecond.
//   - Lists are ordered by ID and paged: up to n entries after the given one.
//   - A call whose context has ended returns soon, with the context's error in
//     its chain.
//   - Methods may be called from many goroutines at once.
package ports
