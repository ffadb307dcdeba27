// Package dashboard is the web page on which an operator sees and repairs
// everything: one http.Handler for any mux and prefix. Its own pages show what
// the ledger knows; Asynqmon is mounted below them, under {prefix}/asynqmon,
// with a bar that shows what waits in the ledger.
//
// The ledger decides. Whatever changes something in Asynqmon's pages passes
// through this package first: a task that is run again gets a fresh budget in
// the ledger, one that is deleted is cancelled there and does not come back.
// Tasks that are not the ledger's are treated as Asynqmon treats them. No
// request that changes something is ever forwarded to Asynqmon itself, so what
// this package does not know is refused.
//
// Every action is written to the audit log before it is carried out; when that
// cannot be written, the action is refused.
//
// Nothing is loaded from elsewhere: the pages work without internet, under a
// Content-Security-Policy that allows no inline script or style.
package dashboard
