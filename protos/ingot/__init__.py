"""The API of Ingot as generated from the .proto files: `from ingot.v1 import import_service_pb2`."""
