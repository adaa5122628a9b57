package main

import "perch/adapters/keyring"

type recipientMake struct {
	File string `arg:"" placeholder:"FILE" help:"Where the private half goes; the public half goes to FILE.pub."`
}

// Help says what the pair is for.
func (recipientMake) Help() string {
	return `Make the pair on the machine that grants move to, and give only FILE.pub to the machine they come from:

    there   perch keyset recipient move.key
    here    perch grants export --to move.key.pub > grants.perch
    there   perch grants import --sealed grants.perch --key move.key

A pair is for one move. Delete FILE and the export when it is done: together they are the users' tokens.`
}

// Run makes a pair.
func (v recipientMake) Run(p *program) error {
	id, err := keyring.GenerateRecipient(v.File)
	if err != nil {
		return err
	}
	p.say("made the recipient %s: %s stays here, %s%s goes to whoever exports\n", id, v.File, v.File, keyring.PublicSuffix)
	p.note("Delete %s when the move is done: with it and the export, anybody has the users' tokens.\n", v.File)
	return nil
}
