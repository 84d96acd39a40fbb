variable "bucket" {
  description = "Bucket for sealed objects."
  type        = string
}

variable "replica_bucket" {
  description = "Replica of the bucket, in the Region of the provider aws.replica."
  type        = string
}

variable "trail_bucket" {
  description = "Bucket for CloudTrail's log files and Athena's results."
  type        = string
}

variable "prefix" {
  description = "Prefix of all objects' keys; empty for the whole bucket."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == "" || endswith(var.prefix, "/")
    error_message = "The prefix must end with a slash; otherwise it matches other prefixes too."
  }
}

variable "context_names" {
  description = "Names that writers may use in encryption contexts. The context is logged in clear: no personal data."
  type        = list(string)
  default     = ["tenant"]
}

variable "intermediate_keys" {
  description = "Allow the caching keyring, for scopes under the prefix. CloudTrail then names no object for these uses."
  type        = bool
  default     = false
}

variable "key_store" {
  description = "Attach the permissions for a key store to the roles, and replicate it. Needs intermediate_keys."
  type        = bool
  default     = false
}

variable "key_store_prefix" {
  description = "Prefix of the key store's objects."
  type        = string
  default     = ".sealwax/keys/"
}

variable "readers_audit_key_material" {
  description = "Let readers ask KMS which key material wrapped an object."
  type        = bool
  default     = false
}

variable "writers_resume" {
  description = "Let writers resume interrupted uploads, for which they must be able to decrypt."
  type        = bool
  default     = false
}

variable "key_administrators" {
  description = "ARNs of principals that manage the KMS keys but cannot use them. Must include the principal that applies this module."
  type        = list(string)
}

variable "bucket_administrators" {
  description = "ARNs of the only principals that may delete versions or weaken their protection. Must include the principal that applies this module."
  type        = list(string)
}

variable "trusted" {
  description = "ARNs of principals that may assume each role: writer, reader, disaster-recovery, uploads, shred and auditor."
  type        = map(list(string))
}

variable "role_prefix" {
  description = "Prefix of all role names."
  type        = string
  default     = "sealwax-"
}
