package dev.sealwax;

import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.async.SdkPublisher;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.DeleteObjectsResponse;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.HeadObjectResponse;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.S3Object;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.services.s3.presigner.model.PresignedGetObjectRequest;
import software.amazon.awssdk.services.s3.presigner.model.PresignedPutObjectRequest;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/**
 * Drives the AWS SDK for Java v2 through the gateway: its synchronous client, its asynchronous client in parts, its
 * transfer manager and its presigner.
 *
 * <p>Runs the operations that its arguments name, and prints the outcome of each as a line for clients.py. Its settings
 * are those of the SDK's environment; its code sets path-style addresses.
 */
public final class Client {
    private static final String BUCKET = System.getenv("BUCKET");
    private static final String FORBIDDEN = System.getenv("FORBIDDEN");
    private static final String PREFIX = System.getenv("PREFIX");
    private static final Path FILES = Path.of(System.getenv("FILES"));
    private static final Path WORK = Path.of(System.getenv("WORK"));
    private static final List<String> STORED = List.of("empty", "one", "small", "large");
    private static final int MIB = 1 << 20;

    private final S3Client client = S3Client.builder().forcePathStyle(true).build();
    private final S3AsyncClient async = S3AsyncClient.builder()
            .forcePathStyle(true)
            .multipartEnabled(true)
            .multipartConfiguration(it -> it.minimumPartSizeInBytes(5L * MIB).thresholdInBytes(6L * MIB))
            .build();

    public static void main(String[] arguments) {
        Client it = new Client();
        Map<String, Callable<Void>> operations = new HashMap<>();
        operations.put("put", it::put);
        operations.put("multipart", it::multipart);
        operations.put("get", it::get);
        operations.put("range", it::range);
        operations.put("list", it::list);
        operations.put("head", it::head);
        operations.put("metadata", it::metadata);
        operations.put("copy", it::copy);
        operations.put("delete", it::delete);
        operations.put("presign", it::presign);
        operations.put("sealed", it::sealed);
        operations.put("errors", it::errors);
        operations.put("own", it::own);
        operations.put("rewrapped", it::get);
        for (String name : arguments) {
            try {
                operations.get(name).call();
                System.out.println(name + "\tok");
            } catch (Exception | AssertionError error) {
                System.out.println(name + "\tfailed\t" + error.toString().replaceAll("\\s+", " "));
            }
        }
        System.exit(0);
    }

    private static String key(String name) {
        return PREFIX + "/" + name;
    }

    private static byte[] file(String name) throws Exception {
        return Files.readAllBytes(FILES.resolve(name));
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    private static void same(byte[] got, byte[] want, String what) {
        check(Arrays.equals(got, want), what + ": " + got.length + " bytes that are not the expected " + want.length);
    }

    private byte[] read(String name, String range) {
        GetObjectRequest request = GetObjectRequest.builder().bucket(BUCKET).key(key(name)).range(range).build();
        return client.getObjectAsBytes(request).asByteArray();
    }

    private void compare(String object, String name) throws Exception {
        same(read(object, null), file(name), object);
    }

    private void put(String name, RequestBody body) {
        client.putObject(it -> it.bucket(BUCKET).key(key(name)), body);
    }

    private Void put() throws Exception {
        for (String name : List.of("empty", "one", "small")) {
            put("files/" + name, RequestBody.fromFile(FILES.resolve(name)));
        }
        return null;
    }

    private Void multipart() throws Exception {
        try (S3TransferManager manager = S3TransferManager.builder().s3Client(async).build()) {
            manager.uploadFile(it -> it.putObjectRequest(to -> to.bucket(BUCKET).key(key("files/large")))
                            .source(FILES.resolve("large")))
                    .completionFuture()
                    .join();
        }
        return null;
    }

    private Void get() throws Exception {
        for (String name : STORED) {
            compare("files/" + name, name);
        }
        return null;
    }

    private Void range() throws Exception {
        byte[] large = file("large");
        same(read("files/large", "bytes=8388000-8389000"), Arrays.copyOfRange(large, 8388000, 8389001), "a range");
        same(read("files/large", "bytes=-7"), Arrays.copyOfRange(large, large.length - 7, large.length), "a suffix");
        same(read("files/large", "bytes=20000000-"), Arrays.copyOfRange(large, 20000000, large.length), "the rest");
        return null;
    }

    /** Lists two objects a page. */
    private Void list() throws Exception {
        Map<String, Long> sizes = new LinkedHashMap<>();
        for (S3Object object : client.listObjectsV2Paginator(it -> it.bucket(BUCKET).prefix(key("files/")).maxKeys(2))
                .contents()) {
            sizes.put(object.key().substring(key("files/").length()), object.size());
        }
        Map<String, Long> want = new HashMap<>();
        for (String name : STORED) {
            want.put(name, (long) file(name).length);
        }
        check(sizes.equals(want), "listed: " + sizes);
        return null;
    }

    private Void head() throws Exception {
        for (String name : STORED) {
            long length = client.headObject(it -> it.bucket(BUCKET).key(key("files/" + name))).contentLength();
            check(length == file(name).length, name + " has " + length + " bytes");
        }
        return null;
    }

    private Void metadata() throws Exception {
        client.putObject(
                it -> it.bucket(BUCKET).key(key("metadata")).contentType("text/csv").metadata(Map.of("color", "blue")),
                RequestBody.fromBytes(file("small")));
        HeadObjectResponse head = client.headObject(it -> it.bucket(BUCKET).key(key("metadata")));
        check(head.metadata().equals(Map.of("color", "blue")), "metadata " + head.metadata());
        check(head.contentType().equals("text/csv"), "content type " + head.contentType());
        return null;
    }

    private Void copy() throws Exception {
        for (String name : List.of("small", "large")) {
            client.copyObject(it -> it.sourceBucket(BUCKET).sourceKey(key("files/" + name))
                    .destinationBucket(BUCKET).destinationKey(key("copies/" + name)));
            compare("copies/" + name, name);
        }
        return null;
    }

    private Void delete() {
        for (String name : List.of("a", "b", "c")) {
            put("deleted/" + name, RequestBody.fromString(name));
        }
        client.deleteObject(it -> it.bucket(BUCKET).key(key("deleted/a")));
        List<ObjectIdentifier> others = List.of("b", "c").stream()
                .map(name -> ObjectIdentifier.builder().key(key("deleted/" + name)).build())
                .toList();
        DeleteObjectsResponse deleted = client.deleteObjects(it -> it.bucket(BUCKET).delete(of -> of.objects(others)));
        check(deleted.deleted().size() == 2 && !deleted.hasErrors(), deleted.toString());
        int left = client.listObjectsV2(it -> it.bucket(BUCKET).prefix(key("deleted/"))).contents().size();
        check(left == 0, left + " objects are left");
        return null;
    }

    /** Puts and gets with presigned URLs, by another HTTP client. */
    private Void presign() throws Exception {
        Duration hour = Duration.ofHours(1);
        try (S3Presigner presigner = S3Presigner.builder().s3Client(client).build()) {
            PresignedPutObjectRequest put = presigner.presignPutObject(it -> it.signatureDuration(hour)
                    .putObjectRequest(of -> of.bucket(BUCKET).key(key("presigned"))));
            send(put.url(), "PUT", file("small"));
            PresignedGetObjectRequest get = presigner.presignGetObject(it -> it.signatureDuration(hour)
                    .getObjectRequest(of -> of.bucket(BUCKET).key(key("presigned"))));
            same(send(get.url(), "GET", new byte[0]), file("small"), "presigned");
        }
        return null;
    }

    private static byte[] send(URL url, String method, byte[] body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url.toString()))
                .method(method, HttpRequest.BodyPublishers.ofByteArray(body))
                .build();
        HttpResponse<byte[]> response =
                HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofByteArray());
        check(response.statusCode() == 200, response.statusCode() + ": " + new String(response.body()));
        return response.body();
    }

    private Void sealed() throws Exception {
        compare("by-sealwax", "by-sealwax");
        return null;
    }

    private Void errors() {
        expect(404, "NoSuchKey", () -> read("missing", null));
        try {
            client.headObject(it -> it.bucket(BUCKET).key(key("missing")));
            throw new AssertionError("a missing key has a head");
        } catch (NoSuchKeyException missing) {
            // expected
        }
        expect(403, "AccessDenied", () -> client.putObject(
                it -> it.bucket(FORBIDDEN).key("a"), RequestBody.fromString("a")));
        expect(403, "AccessDenied", () -> client.listObjectsV2(it -> it.bucket(FORBIDDEN)));
        return null;
    }

    private static void expect(int status, String code, Runnable request) {
        try {
            request.run();
        } catch (S3Exception error) {
            check(error.statusCode() == status && code.equals(error.awsErrorDetails().errorCode()), error.toString());
            return;
        }
        throw new AssertionError("no " + code);
    }

    /** Stores a body of unknown length, downloads in parts and by the transfer manager, and stores on conditions. */
    private Void own() throws Exception {
        byte[] large = file("large");
        async.putObject(it -> it.bucket(BUCKET).key(key("streamed")), streamed(large)).join();
        same(async.getObject(it -> it.bucket(BUCKET).key(key("streamed")), AsyncResponseTransformer.toBytes())
                .join().asByteArray(), large, "streamed");
        try (S3TransferManager manager = S3TransferManager.builder().s3Client(async).build()) {
            Path got = WORK.resolve("got");
            manager.downloadFile(it -> it.getObjectRequest(from -> from.bucket(BUCKET).key(key("files/large")))
                    .destination(got)).completionFuture().join();
            same(Files.readAllBytes(got), large, "files/large");
            manager.copy(it -> it.copyObjectRequest(of -> of.sourceBucket(BUCKET).sourceKey(key("files/large"))
                    .destinationBucket(BUCKET).destinationKey(key("copies/in-parts/large")))).completionFuture().join();
            compare("copies/in-parts/large", "large");
        }
        String tag = client.putObject(it -> it.bucket(BUCKET).key(key("conditional")).ifNoneMatch("*"),
                RequestBody.fromBytes(file("small"))).eTag();
        expect(412, "PreconditionFailed", () -> client.putObject(
                it -> it.bucket(BUCKET).key(key("conditional")).ifNoneMatch("*"), RequestBody.fromString("other")));
        client.putObject(it -> it.bucket(BUCKET).key(key("conditional")).ifMatch(tag),
                RequestBody.fromBytes(file("one")));
        compare("conditional", "one");
        return null;
    }

    /** Returns a body that comes in pieces of 64 KiB, and does not tell its length. */
    private static AsyncRequestBody streamed(byte[] content) {
        List<ByteBuffer> pieces = new ArrayList<>();
        for (int from = 0; from < content.length; from += 64 << 10) {
            pieces.add(ByteBuffer.wrap(content, from, Math.min(64 << 10, content.length - from)).slice());
        }
        return AsyncRequestBody.fromPublisher(SdkPublisher.fromIterable(pieces));
    }
}
