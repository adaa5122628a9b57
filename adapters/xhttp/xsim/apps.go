package xsim

// An App is a developer app as registered with X.
type App struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret,omitempty"` // empty: a public client
	APIKey       string   `json:"api_key,omitempty"`
	APISecret    string   `json:"api_secret,omitempty"`
	Bearer       string   `json:"bearer,omitempty"`        // the first app-only bearer; minted if empty
	RedirectURIs []string `json:"redirect_uris,omitempty"` // exact; empty: any http or https URI
	OwnerID      string   `json:"owner_id,omitempty"`
}

// DefaultApp is the confidential app a box has when no other is given. Its
// credentials are public knowledge.
func DefaultApp() App {
	return App{ //nolint:gosec // these credentials are public and open nothing
		ID: "27000001", Name: "Simulated App", ClientID: "sim-client", ClientSecret: "sim-secret",
		APIKey: "sim-api-key", APISecret: "sim-api-secret", Bearer: "sim-bearer", OwnerID: builtinUsers()[0].ID,
	}
}

func (a App) public() bool { return a.ClientSecret == "" }

// put adds an app, or replaces the one with the same client ID.
func (o *authority) put(a App) {
	if a.ID == "" {
		a.ID = "27" + Fingerprint(a.ClientID)
	}
	if a.Name == "" {
		a.Name = a.ClientID
	}
	if old, ok := o.apps[a.ClientID]; ok && a.Bearer == "" {
		a.Bearer = old.Bearer
	}
	if a.Bearer == "" {
		a.Bearer = mint("bearer")
	}
	o.apps[a.ClientID] = &a
}
