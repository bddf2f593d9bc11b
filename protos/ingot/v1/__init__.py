"""Version 1 of the API. The .proto files beside these modules are its manual."""
