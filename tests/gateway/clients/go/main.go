// Command client drives the AWS SDK for Go v2, and its transfer manager, through the gateway.
//
// It runs the operations that its arguments name, and prints the outcome of each as a line for clients.py. Its settings
// are those of the SDK's environment; its code sets path-style addresses.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

var (
	ctx       = context.Background()
	bucket    = os.Getenv("BUCKET")
	forbidden = os.Getenv("FORBIDDEN")
	prefix    = os.Getenv("PREFIX")
	stored    = []string{"empty", "one", "small", "large"}

	client  *s3.Client
	manager *transfermanager.Client
)

func main() {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client = s3.NewFromConfig(settings, func(options *s3.Options) { options.UsePathStyle = true })
	manager = transfermanager.New(client, func(options *transfermanager.Options) {
		options.PartSizeBytes = 5 << 20
		options.MultipartUploadThreshold = 6 << 20
		options.Concurrency = 4
		options.GetObjectType = "RANGE"
	})
	operations := map[string]func() error{
		"put": put, "multipart": multipart, "get": get, "range": ranges, "list": list, "head": head,
		"metadata": metadata, "copy": copies, "delete": remove, "presign": presign, "sealed": sealed,
		"errors": refusals, "own": own, "rewrapped": get,
	}
	for _, name := range os.Args[1:] {
		operation, ok := operations[name]
		if !ok {
			fmt.Printf("%s\tfailed\tno such operation\n", name)
		} else if err := operation(); err != nil {
			fmt.Printf("%s\tfailed\t%s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Printf("%s\tok\n", name)
		}
	}
}

func key(name string) *string { return aws.String(prefix + "/" + name) }

func file(name string) []byte {
	content, err := os.ReadFile(filepath.Join(os.Getenv("FILES"), name))
	if err != nil {
		panic(err)
	}
	return content
}

func same(name string, got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %d bytes that are not the expected %d", name, len(got), len(want))
	}
	return nil
}

func read(input *s3.GetObjectInput) ([]byte, error) {
	input.Bucket = &bucket
	output, err := client.GetObject(ctx, input)
	if err != nil {
		return nil, err
	}
	defer output.Body.Close()
	return io.ReadAll(output.Body)
}

// compare reads an object and compares it with a file.
func compare(object, name string) error {
	got, err := read(&s3.GetObjectInput{Key: key(object)})
	if err != nil {
		return err
	}
	return same(object, got, file(name))
}

func put() error {
	for _, name := range stored[:3] {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: key("files/" + name), Body: bytes.NewReader(file(name)),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// multipart uploads a stream that has no length and can't seek.
func multipart() error {
	_, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &bucket, Key: key("files/large"), Body: io.MultiReader(bytes.NewReader(file("large"))),
	})
	return err
}

func get() error {
	for _, name := range stored {
		if err := compare("files/"+name, name); err != nil {
			return err
		}
	}
	return nil
}

func ranges() error {
	large := file("large")
	for header, want := range map[string][]byte{
		"bytes=8388000-8389000": large[8388000:8389001],
		"bytes=-7":              large[len(large)-7:],
		"bytes=20000000-":       large[20000000:],
	} {
		got, err := read(&s3.GetObjectInput{Key: key("files/large"), Range: &header})
		if err != nil {
			return err
		}
		if err := same(header, got, want); err != nil {
			return err
		}
	}
	return nil
}

// list lists two objects a page.
func list() error {
	sizes := map[string]int64{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{
		Bucket: &bucket, Prefix: key("files/"), MaxKeys: aws.Int32(2),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			sizes[strings.TrimPrefix(*object.Key, prefix+"/files/")] = *object.Size
		}
	}
	if len(sizes) != len(stored) {
		return fmt.Errorf("%d objects are listed", len(sizes))
	}
	for _, name := range stored {
		if sizes[name] != int64(len(file(name))) {
			return fmt.Errorf("%s is listed with %d bytes", name, sizes[name])
		}
	}
	return nil
}

func head() error {
	for _, name := range stored {
		output, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: key("files/" + name)})
		if err != nil {
			return err
		}
		if *output.ContentLength != int64(len(file(name))) {
			return fmt.Errorf("%s has %d bytes", name, *output.ContentLength)
		}
	}
	return nil
}

func metadata() error {
	_, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: key("metadata"), Body: bytes.NewReader(file("small")),
		ContentType: aws.String("text/csv"), Metadata: map[string]string{"color": "blue"},
	})
	if err != nil {
		return err
	}
	output, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: key("metadata")})
	if err != nil {
		return err
	}
	if len(output.Metadata) != 1 || output.Metadata["color"] != "blue" || *output.ContentType != "text/csv" {
		return fmt.Errorf("metadata %v, content type %s", output.Metadata, *output.ContentType)
	}
	return nil
}

func copies() error {
	for _, name := range []string{"small", "large"} {
		_, err := client.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: &bucket, Key: key("copies/" + name),
			CopySource: aws.String(bucket + "/" + *key("files/" + name)),
		})
		if err != nil {
			return err
		}
		if err := compare("copies/"+name, name); err != nil {
			return err
		}
	}
	return nil
}

func remove() error {
	for _, name := range []string{"a", "b", "c"} {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: key("deleted/" + name), Body: strings.NewReader(name),
		})
		if err != nil {
			return err
		}
	}
	if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: key("deleted/a")}); err != nil {
		return err
	}
	output, err := client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &bucket,
		Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: key("deleted/b")}, {Key: key("deleted/c")}}},
	})
	if err != nil {
		return err
	}
	if len(output.Deleted) != 2 || len(output.Errors) != 0 {
		return fmt.Errorf("%d deleted, %d errors", len(output.Deleted), len(output.Errors))
	}
	left, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: key("deleted/")})
	if err != nil {
		return err
	}
	if len(left.Contents) != 0 {
		return fmt.Errorf("%d objects are left", len(left.Contents))
	}
	return nil
}

// presign puts and gets with presigned URLs, by another HTTP client.
func presign() error {
	presigner := s3.NewPresignClient(client)
	signed, err := presigner.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: key("presigned")})
	if err != nil {
		return err
	}
	if _, err := send(signed.Method, signed.URL, signed.SignedHeader, file("small")); err != nil {
		return err
	}
	signed, err = presigner.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: key("presigned")})
	if err != nil {
		return err
	}
	got, err := send(signed.Method, signed.URL, signed.SignedHeader, nil)
	if err != nil {
		return err
	}
	return same("presigned", got, file("small"))
}

func send(method, url string, headers http.Header, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range headers {
		// net/http sends its own.
		if !strings.EqualFold(name, "host") && !strings.EqualFold(name, "content-length") {
			request.Header[name] = values
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, content)
	}
	return content, err
}

func sealed() error { return compare("by-sealwax", "by-sealwax") }

func refusals() error {
	_, err := read(&s3.GetObjectInput{Key: key("missing")})
	var missing *types.NoSuchKey
	if !errors.As(err, &missing) {
		return fmt.Errorf("a missing key: %v", err)
	}
	_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: key("missing")})
	var notFound *types.NotFound
	if !errors.As(err, &notFound) {
		return fmt.Errorf("a missing key's head: %v", err)
	}
	_, err = client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &forbidden, Key: aws.String("a"), Body: strings.NewReader("a"),
	})
	if err := expect(err, "AccessDenied"); err != nil {
		return err
	}
	_, err = client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &forbidden})
	return expect(err, "AccessDenied")
}

func expect(err error, code string) error {
	var failure smithy.APIError
	if !errors.As(err, &failure) || failure.ErrorCode() != code {
		return fmt.Errorf("%v instead of %s", err, code)
	}
	return nil
}

// own downloads in parallel ranges, and stores on conditions.
func own() error {
	buffer := &at{content: make([]byte, len(file("large")))}
	_, err := manager.DownloadObject(ctx, &transfermanager.DownloadObjectInput{
		Bucket: &bucket, Key: key("files/large"), WriterAt: buffer,
	})
	if err != nil {
		return err
	}
	if err := same("files/large", buffer.content, file("large")); err != nil {
		return err
	}
	first := &s3.PutObjectInput{
		Bucket: &bucket, Key: key("conditional"), Body: bytes.NewReader(file("small")), IfNoneMatch: aws.String("*"),
	}
	output, err := client.PutObject(ctx, first)
	if err != nil {
		return err
	}
	first.Body = strings.NewReader("other")
	if _, err := client.PutObject(ctx, first); expect(err, "PreconditionFailed") != nil {
		return expect(err, "PreconditionFailed")
	}
	_, err = client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: key("conditional"), Body: bytes.NewReader(file("one")), IfMatch: output.ETag,
	})
	if err != nil {
		return err
	}
	_, err = read(&s3.GetObjectInput{Key: key("conditional"), IfMatch: output.ETag})
	if err := expect(err, "PreconditionFailed"); err != nil {
		return err
	}
	return compare("conditional", "one")
}

// at is a buffer of fixed length. The transfer manager writes no range twice.
type at struct{ content []byte }

func (buffer *at) WriteAt(piece []byte, offset int64) (int, error) {
	if offset > int64(len(buffer.content)) {
		return 0, io.ErrShortWrite
	}
	return copy(buffer.content[offset:], piece), nil
}
