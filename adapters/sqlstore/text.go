package sqlstore

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// A list is a column of several texts, as JSON.
type list []string

// Value returns the list as JSON text.
func (l list) Value() (driver.Value, error) {
	text, err := json.Marshal([]string(l))
	return string(text), err
}

// Scan reads JSON text.
func (l *list) Scan(src any) error {
	var text []byte
	switch v := src.(type) {
	case string:
		text = []byte(v)
	case []byte:
		text = v
	default:
		return fmt.Errorf("a list is stored as %T", src)
	}
	return json.Unmarshal(text, (*[]string)(l))
}

func listOf[T ~string](items []T) list {
	if items == nil {
		return nil
	}
	l := make(list, len(items))
	for i, item := range items {
		l[i] = string(item)
	}
	return l
}

func itemsOf[T ~string](l list) []T {
	if l == nil {
		return nil
	}
	items := make([]T, len(l))
	for i, text := range l {
		items[i] = T(text)
	}
	return items
}

// fit reports whether every text among the arguments can be stored whole by
// every database. bun would change the rest on its way, or leave it out.
func fit(args ...any) bool {
	for _, a := range args {
		if !whole(reflect.ValueOf(a)) {
			return false
		}
	}
	return true
}

// storable is fit for all fields of a row.
func storable(row any) bool {
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		if !whole(v.Field(i)) {
			return false
		}
	}
	return true
}

func whole(v reflect.Value) bool {
	if v.Kind() == reflect.String {
		return utf8.ValidString(v.String()) && !strings.Contains(v.String(), "\x00")
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			if !whole(v.Index(i)) {
				return false
			}
		}
	}
	return true
}
