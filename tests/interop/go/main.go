// The official S3 Encryption Client for Go, driven by the tests with the protocol of ../python/peer.py.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/aws/amazon-s3-encryption-client-go/v4/client"
	"github.com/aws/amazon-s3-encryption-client-go/v4/commitment"
	"github.com/aws/amazon-s3-encryption-client-go/v4/materials"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

type call struct {
	Op, Bucket, Key, File, Suite string
	Context                      map[string]string
}

func newClient(policy commitment.CommitmentPolicy) (*client.S3EncryptionClientV4, error) {
	endpoint := os.Getenv("SEALWAX_PEER_ENDPOINT")
	resolver := aws.EndpointResolverWithOptionsFunc(func(string, string, ...interface{}) (aws.Endpoint, error) {
		return aws.Endpoint{URL: endpoint, HostnameImmutable: true}, nil
	})
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithEndpointResolverWithOptions(resolver))
	if err != nil {
		return nil, err
	}
	plain := s3.NewFromConfig(cfg, func(options *s3.Options) { options.UsePathStyle = true })
	keyring := materials.NewKmsKeyring(kms.NewFromConfig(cfg), os.Getenv("SEALWAX_PEER_KEY"))
	manager, err := materials.NewCryptographicMaterialsManager(keyring)
	if err != nil {
		return nil, err
	}
	return client.New(plain, manager, func(options *client.EncryptionClientOptions) { options.CommitmentPolicy = policy })
}

func run(s3ec *client.S3EncryptionClientV4, c call) error {
	ctx := context.Background()
	if len(c.Context) > 0 {
		ctx = context.WithValue(ctx, client.EncryptionContext, c.Context)
	}
	if c.Op == "put" {
		plaintext, err := os.ReadFile(c.File)
		if err != nil {
			return err
		}
		_, err = s3ec.PutObject(ctx, &s3.PutObjectInput{Bucket: &c.Bucket, Key: &c.Key, Body: bytes.NewReader(plaintext)})
		return err
	}
	output, err := s3ec.GetObject(ctx, &s3.GetObjectInput{Bucket: &c.Bucket, Key: &c.Key})
	if err != nil {
		return err
	}
	plaintext, err := io.ReadAll(output.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(c.File, plaintext, 0o600)
}

func main() {
	clients := map[string]*client.S3EncryptionClientV4{}
	for suite, policy := range map[string]commitment.CommitmentPolicy{
		"v2": commitment.FORBID_ENCRYPT_ALLOW_DECRYPT,
		"v3": commitment.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
	} {
		made, err := newClient(policy)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		clients[suite] = made
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var c call
		answer := map[string]string{}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			answer["error"] = err.Error()
		} else if err := run(clients[c.Suite], c); err != nil {
			answer["error"] = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			os.Exit(1)
		}
	}
}
