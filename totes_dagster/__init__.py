"""Every change of a tote-bag company's database, archived in a data lake and kept current in a warehouse."""
