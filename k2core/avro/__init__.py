"""The Avro codec and the schema lineage of every data type."""
