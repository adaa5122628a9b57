package xapi

// A Category is a line of X's price list (x-api/getting-started/pricing).
// The empty category has no published price.
type Category string

// A Price is what X bills, in millionths of a US dollar.
type Price struct {
	Micros      int64
	PerResource bool  // per resource returned; otherwise per request
	Owned       int64 // each resource, where the user owns the developer app
	WithURL     int64 // a post whose text holds a URL
	Summoned    int64 // a reply to somebody who mentioned the author
}

// PricesOf names the day the price list was read.
const PricesOf = "2026-08-22"

var prices = map[Category]Price{
	"Block: Read":               {Micros: 1_000, PerResource: true, Owned: 1_000},
	"Bookmark":                  {Micros: 5_000},
	"Community: Read":           {Micros: 5_000, PerResource: true},
	"Content: Manage":           {Micros: 5_000},
	"Counts: All":               {Micros: 10_000},
	"Counts: Recent":            {Micros: 5_000},
	"DM Event: Read":            {Micros: 10_000, PerResource: true},
	"DM Interaction: Create":    {Micros: 15_000},
	"Following/Followers: Read": {Micros: 10_000, PerResource: true, Owned: 1_000},
	"Interaction: Delete":       {Micros: 10_000},
	"Like: Read":                {Micros: 1_000, PerResource: true},
	"List: Create":              {Micros: 10_000},
	"List: Manage":              {Micros: 5_000},
	"List: Read":                {Micros: 5_000, PerResource: true, Owned: 1_000},
	"Media Metadata":            {Micros: 5_000},
	"Mute: Delete":              {Micros: 5_000},
	"Mute: Read":                {Micros: 1_000, PerResource: true, Owned: 1_000},
	"Note: Read":                {Micros: 5_000, PerResource: true},
	"Post: Create":              {Micros: 15_000, WithURL: 200_000, Summoned: 10_000},
	"Posts: Read":               {Micros: 5_000, PerResource: true, Owned: 1_000},
	"Privacy: Update":           {Micros: 10_000},
	"Space: Read":               {Micros: 5_000, PerResource: true},
	"Trends":                    {Micros: 10_000},
	"User Interaction: Create":  {Micros: 15_000},
	"User: Read":                {Micros: 10_000, PerResource: true},
}

// PriceOf returns what X bills for the action, and whether X publishes a price.
func PriceOf(a Action) (Price, bool) {
	p, ok := prices[a.Price]
	if !a.OwnedRead {
		p.Owned = 0
	}
	return p, ok
}
