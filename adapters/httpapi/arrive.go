package httpapi

import "net/http"

// arrive counts the request for the client's address, before anything else is
// known of it. Whoever asks for health is not counted, nor are operators, nor
// preflights, which pages do not ask for: their browsers do.
func (s *Server) arrive(r *request) (err error) {
	if s.admin || s.services.Quotas == nil || r.path == healthPath || r.path == readyPath || r.isPreflight() {
		return nil
	}
	done := r.within(s.wait.answer)
	defer done()
	r.left, err = s.services.Quotas.Arrive(r.ctx, r.addr)
	return err
}

// isPreflight reports whether a browser asks if a page may call (Fetch, CORS-preflight).
func (r *request) isPreflight() bool {
	return r.method == http.MethodOptions && r.origin != "" && r.has("Access-Control-Request-Method")
}

// leave says in the reply, once, what is left to the address. What is left of the
// other limits the reply or the refusal says itself.
func (s *Server) leave(r *request) {
	for name, value := range r.left {
		r.c.Response().Header.Add(name, value)
	}
	r.left = nil
}

// Where health is told.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)
