"""Commands are carried out: loaded, checked, decided and committed, many in one transaction."""
