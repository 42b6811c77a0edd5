"""The Avro codec: whole batches of records to datums and back, vectorised, equal to fastavro byte for byte.

`codec` is what others use; `encode` and `decode` hold the vectorised paths, `varint` the integers they share, and
`reference` the same through fastavro: the measure of the fast paths, and the way for records with long fields.
"""
