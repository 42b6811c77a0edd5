"""What k2 stores: data types, their columns, topics, partitions and positions. Imports nothing heavy."""
