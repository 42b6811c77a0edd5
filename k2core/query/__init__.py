"""Pin, tail, merge: answers over table and log in one."""
