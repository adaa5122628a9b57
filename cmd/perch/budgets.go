package main

import "strings"

// budgets are those of a client application as the REST API shows them, in US
// dollars.
type budgets struct {
	BudgetDay        *string `json:"budget_day"`
	BudgetMonth      *string `json:"budget_month"`
	GrantBudgetDay   *string `json:"grant_budget_day"`
	GrantBudgetMonth *string `json:"grant_budget_month"`
}

func (b budgets) budget() string      { return budgetOf(b.BudgetDay, b.BudgetMonth) }
func (b budgets) grantBudget() string { return budgetOf(b.GrantBudgetDay, b.GrantBudgetMonth) }

func budgetOf(day, month *string) string {
	var say []string
	if day != nil {
		say = append(say, *day+" a day")
	}
	if month != nil {
		say = append(say, *month+" a month")
	}
	return strings.Join(say, ", ")
}

type budgetFlags struct {
	BudgetDay        *string `placeholder:"USD" help:"What its calls may cost on a UTC day, in US dollars, as 5 or 12.50; 0 for no budget."`
	BudgetMonth      *string `placeholder:"USD" help:"What its calls may cost in a UTC month."`
	GrantBudgetDay   *string `placeholder:"USD" help:"What the calls of each of its grants may cost on a UTC day."`
	GrantBudgetMonth *string `placeholder:"USD" help:"What the calls of each of its grants may cost in a UTC month."`
}

// into puts the budgets that were given into what the REST API takes.
func (f budgetFlags) into(in map[string]any) {
	for name, text := range map[string]*string{
		"budget_day": f.BudgetDay, "budget_month": f.BudgetMonth,
		"grant_budget_day": f.GrantBudgetDay, "grant_budget_month": f.GrantBudgetMonth,
	} {
		if text != nil {
			in[name] = *text
		}
	}
}
