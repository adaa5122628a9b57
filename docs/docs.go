// Package docs holds the documentation and the test that keeps it true.
package docs
