"""AWS's protocols, compiled from botocore's models: json, rest-json, query, rest-xml, rpc CBOR."""
