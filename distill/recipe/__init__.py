"""What is asked: a recipe's structs, where recipes come from, and whether one can be carried out."""
