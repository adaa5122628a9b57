package spend

import (
	"time"

	"perch/domain/client"
	"perch/domain/money"
	"perch/domain/oauth"
)

// A Reservation sets aside what a call may cost at most, in the budgets of its
// application and of its grant, for the day and for the month.
type Reservation struct {
	ID          string
	App         client.AppID
	Grant       oauth.GrantID // empty: none
	Day         Day
	Cost        money.Micros // at most
	Least       money.Micros // what the call costs at least, if it has any result
	Budget      money.Budget // of the application
	GrantBudget money.Budget // of the grant
	Expires     time.Time    // afterwards it counts as spent
}

// An Account is one budget in one period: a day or a month.
type Account struct {
	App    client.AppID
	Grant  oauth.GrantID // empty: the application's own
	Period int64         // a Day or a Month
}

// Days returns the first and the last day that the account's period may have.
func (a Account) Days() (first, last Day) {
	if a.Period >= FirstDay {
		return Day(a.Period), Day(a.Period)
	}
	return Day(a.Period*100 + 1), Day(a.Period*100 + 31)
}

// A Standing is how an account stands.
type Standing struct {
	Account
	Reserved money.Micros // set aside for calls that are under way
	Spent    money.Micros
	Lost     money.Micros // the part of Spent whose calls never ended here: X may not have billed it
	Told     int64        // the alerts that were given: percent of the budget, 0 for none
	ToldFor  money.Micros // the size that the budget had then
}

// Owes reports whether an alert at so many percent of the limit was not given. In
// a budget that has become larger none was.
func (s Standing) Owes(percent int64, limit money.Micros) bool {
	return s.Told < percent || s.ToldFor < limit
}

// A Limit is one budget that a reservation must keep.
type Limit struct {
	Account
	Max  money.Micros
	Ends time.Time // when the period is over
}

// Limits lists the budgets that the reservation must keep, the smallest period
// first. Those that are not set are not among them.
func (r Reservation) Limits() []Limit {
	var limits []Limit
	add := func(grant oauth.GrantID, b money.Budget) {
		if b.Day > 0 {
			limits = append(limits, Limit{Account{r.App, grant, int64(r.Day)}, b.Day, r.Day.End()})
		}
		if b.Month > 0 {
			limits = append(limits, Limit{Account{r.App, grant, int64(r.Day.Month())}, b.Month, r.Day.Month().End()})
		}
	}
	add("", r.Budget)
	if r.Grant != "" {
		add(r.Grant, r.GrantBudget)
	}
	return limits
}

// Admits reports whether a budget of max lets the reservation in. It does where
// what the call may cost at most still fits. Where it does not, the call may
// still go alone, if nothing is set aside for others and what it costs at least
// fits: so a budget is never passed by more than one call, and a page that could
// be long does not keep the last cents from being spent.
func (s Standing) Admits(r Reservation, limit money.Micros) bool {
	return s.Spent+s.Reserved+r.Cost <= limit || s.Reserved <= 0 && s.Spent+r.Least <= limit
}

// Never returns the first of the budgets that let the reservation in at no time,
// whatever is spent: they are smaller than the least that the call costs.
func (r Reservation) Never() (Limit, bool) {
	for _, l := range r.Limits() {
		if !(Standing{}).Admits(r, l.Max) {
			return l, true
		}
	}
	return Limit{}, false
}

// Accounts lists what the reservation counts in, whether it has a budget or not.
func (r Reservation) Accounts() []Account {
	list := []Account{{r.App, "", int64(r.Day)}, {r.App, "", int64(r.Day.Month())}}
	if r.Grant != "" {
		list = append(list, Account{r.App, r.Grant, int64(r.Day)}, Account{r.App, r.Grant, int64(r.Day.Month())})
	}
	return list
}

// KeepEnded is how long reservations that have ended are kept, so that what is
// said of them once more changes nothing.
const KeepEnded = 24 * time.Hour

// OldestPeriod is the first day, or month, whose accounts are kept: two months
// before the one of now.
func OldestPeriod(like int64, now time.Time) int64 {
	d := DayOf(time.Date(now.UTC().Year(), now.UTC().Month()-2, 1, 0, 0, 0, 0, time.UTC))
	if like < FirstDay {
		return int64(d.Month())
	}
	return int64(d)
}

// FirstDay is less than any day and more than any month.
const FirstDay = 1_000_000
