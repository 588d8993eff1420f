"""Everything that edgedistill can be given from outside, each in its smallest form."""
