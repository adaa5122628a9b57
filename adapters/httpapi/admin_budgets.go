package httpapi

import (
	"errors"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
)

// A budgetsView has an application's budgets in US dollars, as "12.50"; null
// where there is none.
type budgetsView struct {
	BudgetDay        *string `json:"budget_day"`
	BudgetMonth      *string `json:"budget_month"`
	GrantBudgetDay   *string `json:"grant_budget_day"`
	GrantBudgetMonth *string `json:"grant_budget_month"`
}

func viewBudgets(a client.App) budgetsView {
	return budgetsView{
		dollars(a.Budget.Day), dollars(a.Budget.Month), dollars(a.GrantBudget.Day), dollars(a.GrantBudget.Month),
	}
}

// dollars is null in JSON for an amount that is not set.
func dollars(m money.Micros) *string {
	if m == 0 {
		return nil
	}
	text := m.String()
	return &text
}

// A budgetsChange has the budgets that are to be changed, in US dollars: "0" for
// none.
type budgetsChange struct {
	BudgetDay        *string `json:"budget_day"`
	BudgetMonth      *string `json:"budget_month"`
	GrantBudgetDay   *string `json:"grant_budget_day"`
	GrantBudgetMonth *string `json:"grant_budget_month"`
}

// read returns what sets the budgets of an application.
func (in budgetsChange) read() (set func(*client.App), err error) {
	var amounts [4]*money.Micros
	for i, given := range []struct {
		field string
		text  *string
	}{
		{"budget_day", in.BudgetDay}, {"budget_month", in.BudgetMonth},
		{"grant_budget_day", in.GrantBudgetDay}, {"grant_budget_month", in.GrantBudgetMonth},
	} {
		if given.text == nil {
			continue
		}
		m, err := money.Parse(*given.text)
		if f, ok := errors.AsType[*fault.Error](err); ok {
			return nil, f.With("field", given.field)
		}
		amounts[i] = &m
	}
	return func(a *client.App) {
		put(&a.Budget.Day, amounts[0])
		put(&a.Budget.Month, amounts[1])
		put(&a.GrantBudget.Day, amounts[2])
		put(&a.GrantBudget.Month, amounts[3])
	}, nil
}
