package xapi_test

import (
	"strings"
	"testing"

	"perch/domain/fault"
	"perch/domain/xapi"
)

func TestTheTroublesAreToldApart(t *testing.T) {
	const (
		capped = `{"title":"UsageCapExceeded","period":"Monthly","scope":"Product",` +
			`"detail":"Usage cap exceeded: Monthly product cap","type":"https://HOST/2/problems/usage-capped"}`
		credits = `{"title":"CreditsDepleted","detail":"no credits","type":"https://HOST/2/problems/credits"}`
		tooMany = `{"title":"ConnectionException","connection_issue":"TooManyConnections",` +
			`"type":"https://HOST/2/problems/streaming-connection"}`
	)
	for name, v := range map[string]struct {
		status int
		body   string
		want   xapi.Trouble
	}{
		"a problem without a type":           {429, `{"title":"Too Many Requests","type":"about:blank","status":429}`, xapi.RateLimited},
		"a problem with a type":              {429, `{"type":"https://HOST/2/problems/rate-limit-exceeded"}`, xapi.RateLimited},
		"the older envelope":                 {429, `{"errors":[{"code":88,"message":"Rate limit exceeded"}]}`, xapi.RateLimited},
		"the older envelope, another status": {403, `{"errors":[{"code":88,"message":"Rate limit exceeded"}]}`, xapi.RateLimited},
		"another code of the older envelope": {403, `{"errors":[{"code":187,"message":"duplicate"}]}`, xapi.NoTrouble},
		"OAuth's envelope":                   {429, `{"error":"too_many","error_description":"slow down"}`, xapi.RateLimited},
		"no body":                            {429, "", xapi.RateLimited},
		"a body that is not JSON":            {429, "slow down", xapi.RateLimited},
		"a body that is a list":              {429, "[]", xapi.RateLimited},
		"a usage cap":                        {429, capped, xapi.UsageCapped},
		"a usage cap with another status":    {403, capped, xapi.UsageCapped},
		"a usage cap in a list":              {429, `{"title":"Forbidden","errors":[` + capped + `]}`, xapi.UsageCapped},
		"a usage cap by its title alone":     {429, `{"title":"UsageCapExceeded"}`, xapi.UsageCapped},
		"no credits":                         {402, credits, xapi.OutOfCredits},
		"no credits, in silence":             {402, "", xapi.OutOfCredits},
		"no credits with another status":     {403, credits, xapi.OutOfCredits},
		"a second connection":                {429, tooMany, xapi.NoTrouble},
		"not allowed":                        {403, `{"title":"Forbidden","type":"about:blank","status":403}`, xapi.NoTrouble},
		"not authenticated":                  {401, `{"title":"Unauthorized","type":"about:blank","status":401}`, xapi.NoTrouble},
		"success with errors":                {200, `{"data":[],"errors":[` + capped + `]}`, xapi.NoTrouble},
		"an outage":                          {503, capped, xapi.NoTrouble},
	} {
		for _, host := range []string{"api.x.com", "api.twitter.com"} {
			if got := xapi.TroubleOf(v.status, []byte(strings.ReplaceAll(v.body, "HOST", host))); got != v.want {
				t.Errorf("%s at %s: got %v, want %v", name, host, got, v.want)
			}
		}
	}
}

func TestATroubleSaysWhatToDo(t *testing.T) {
	monthly := []byte(`{"title":"UsageCapExceeded","period":"Monthly","scope":"Product"}`)
	for name, v := range map[string]struct {
		trouble    xapi.Trouble
		body       []byte
		slug, says string
	}{
		"a rate limit":       {xapi.RateLimited, nil, "x-rate-limit", "Retry-After"},
		"a cap":              {xapi.UsageCapped, monthly, "x-usage-cap", "X's monthly usage cap of the product is used up"},
		"a cap without name": {xapi.UsageCapped, []byte(`{"period":"<b>","scope":"x"}`), "x-usage-cap", "X's usage cap is used up"},
		"no credits":         {xapi.OutOfCredits, nil, "x-out-of-credits", "buy credits"},
	} {
		f := v.trouble.Fault(v.body)
		if f.Slug != v.slug || f.Kind != fault.Limited || !strings.Contains(f.Say, v.says) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := xapi.NoTrouble.Fault(nil); f != nil {
		t.Errorf("no trouble: %+v", f)
	}
}
