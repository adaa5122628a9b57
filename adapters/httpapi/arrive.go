package httpapi

// arrive counts the request for the client's address, before anything else is
// known of it. Whoever asks for health is not counted, nor are operators.
func (s *Server) arrive(r *request) (err error) {
	if s.admin || s.services.Quotas == nil || r.path == healthPath || r.path == readyPath {
		return nil
	}
	done := r.within(s.wait.answer)
	defer done()
	r.left, err = s.services.Quotas.Arrive(r.ctx, r.addr)
	return err
}

// leave says in the reply what is left to the address. What is left of the other
// limits the reply says itself.
func (s *Server) leave(r *request) {
	for name, value := range r.left {
		r.c.Response().Header.Add(name, value)
	}
}

// Where health is told.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)
