variable "bucket" {
  description = "Bucket that objects are sealed into."
  type        = string
}

variable "replica_bucket" {
  description = "Its replica, in the Region of the provider aws.replica."
  type        = string
}

variable "trail_bucket" {
  description = "Bucket for CloudTrail's log files and the answers of Athena."
  type        = string
}

variable "prefix" {
  description = "What the keys of all objects begin with; empty for the whole bucket."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == "" || endswith(var.prefix, "/")
    error_message = "The prefix must end with a slash: else it takes in its neighbours."
  }
}

variable "context_names" {
  description = "Names that writers may use in encryption contexts. The context is logged in clear: no personal data."
  type        = list(string)
  default     = ["tenant"]
}

variable "intermediate_keys" {
  description = "Allow the caching keyring. KMS then sees no place, and cannot hold these uses to a prefix."
  type        = bool
  default     = false
}

variable "readers_audit_key_material" {
  description = "Let readers ask KMS which material of its key wrapped an object."
  type        = bool
  default     = false
}

variable "writers_resume" {
  description = "Let writers go on with interrupted uploads, for which they must be able to decrypt."
  type        = bool
  default     = false
}

variable "key_administrators" {
  description = "ARNs of who manages the KMS keys, and cannot use them. Whoever applies this module must be among them."
  type        = list(string)
}

variable "bucket_administrators" {
  description = "ARNs of who alone may delete versions and weaken what protects them. Whoever applies this module, too."
  type        = list(string)
}

variable "trusted" {
  description = "Who may assume each role: ARNs, by writer, reader, disaster-recovery, uploads, shred and auditor."
  type        = map(list(string))
}

variable "role_prefix" {
  description = "What the names of all roles begin with."
  type        = string
  default     = "sealwax-"
}
