"""One folder per AWS service, one module per operation or closely tied group. Services never
import each other."""
