package dev.sealwax;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.RSAPublicKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.awscore.AwsRequestOverrideConfiguration;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.encryption.s3.CommitmentPolicy;
import software.amazon.encryption.s3.S3EncryptionClient;
import software.amazon.encryption.s3.algorithms.AlgorithmSuite;
import software.amazon.encryption.s3.internal.InstructionFileConfig;
import software.amazon.encryption.s3.materials.KmsKeyring;

/** The official S3 Encryption Client for Java, driven by the tests with the protocol of ../python/peer.py. */
public final class Peer {
  private final S3Client s3;
  private final S3AsyncClient s3Async;
  private final KmsClient kms;
  private final Map<String, S3EncryptionClient> clients = new HashMap<>();

  private Peer() {
    URI endpoint = URI.create(System.getenv("SEALWAX_PEER_ENDPOINT"));
    // The encryption client keeps a connection for each instruction file that it reads.
    s3 =
        S3Client.builder()
            .endpointOverride(endpoint)
            .forcePathStyle(true)
            .httpClientBuilder(ApacheHttpClient.builder().maxConnections(10_000))
            .build();
    s3Async = S3AsyncClient.builder().endpointOverride(endpoint).forcePathStyle(true).build();
    kms = KmsClient.builder().endpointOverride(endpoint).build();
  }

  public static void main(String[] args) throws Exception {
    Peer peer = new Peer();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String answer = "{}";
      try {
        peer.run(JsonNode.parser().parse(line));
      } catch (Exception error) {
        String text = String.valueOf(error).replaceAll("[^ -~]|[\"\\\\]", " ");
        answer = "{\"error\":\"" + text + "\"}";
      }
      System.out.println(answer);
      System.out.flush();
    }
    System.exit(0);
  }

  private void run(JsonNode call) throws Exception {
    String bucket = text(call, "bucket");
    String key = text(call, "key");
    Path file = Path.of(text(call, "file"));
    S3EncryptionClient client = client(text(call, "suite"), text(call, "keyring"), call.field("in_file").get().asBoolean());
    Map<String, String> context = new HashMap<>();
    call.field("context").get().asObject().forEach((name, value) -> context.put(name, value.asString()));
    String suffix = call.field("suffix").filter(it -> !it.isNull()).map(JsonNode::asString).orElse(null);
    AwsRequestOverrideConfiguration.Builder override = AwsRequestOverrideConfiguration.builder();
    if (!context.isEmpty()) {
      S3EncryptionClient.withAdditionalConfiguration(context).accept(override);
    }
    if (text(call, "op").equals("put")) {
      byte[] plaintext = Files.readAllBytes(file);
      client.putObject(
          request -> request.bucket(bucket).key(key).overrideConfiguration(override.build()),
          RequestBody.fromBytes(plaintext));
    } else {
      if (suffix != null) {
        S3EncryptionClient.withCustomInstructionFileSuffix(suffix).accept(override);
      }
      byte[] plaintext =
          client
              .getObjectAsBytes(request -> request.bucket(bucket).key(key).overrideConfiguration(override.build()))
              .asByteArray();
      Files.write(file, plaintext);
    }
  }

  private S3EncryptionClient client(String suite, String keyring, boolean inFile) {
    return clients.computeIfAbsent(suite + keyring + inFile, name -> {
      boolean commits = suite.equals("v3");
      S3EncryptionClient.Builder builder =
          S3EncryptionClient.builderV4()
              .wrappedClient(s3)
              .wrappedAsyncClient(s3Async)
              .commitmentPolicy(
                  commits
                      ? CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
                      : CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
              .encryptionAlgorithm(
                  commits
                      ? AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY
                      : AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF)
              .instructionFileConfig(
                  InstructionFileConfig.builder()
                      .instructionFileClient(s3)
                      .enableInstructionFilePutObject(inFile)
                      .build());
      try {
        return switch (keyring) {
          case "aes" -> builder.aesKey(aesKey()).build();
          case "rsa" -> builder.rsaKeyPair(rsaKey()).build();
          default ->
              builder
                  .keyring(
                      KmsKeyring.builder().kmsClient(kms).wrappingKeyId(System.getenv("SEALWAX_PEER_KEY")).build())
                  .build();
        };
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    });
  }

  private static Path keys() {
    return Path.of(System.getenv("SEALWAX_PEER_KEYS"));
  }

  private static SecretKeySpec aesKey() throws Exception {
    return new SecretKeySpec(HexFormat.of().parseHex(Files.readString(keys().resolve("aes256.hex")).trim()), "AES");
  }

  private static KeyPair rsaKey() throws Exception {
    String pem = Files.readString(keys().resolve("rsa2048-private-pkcs8.pem"));
    byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
    KeyFactory factory = KeyFactory.getInstance("RSA");
    RSAPrivateCrtKey secret = (RSAPrivateCrtKey) factory.generatePrivate(new PKCS8EncodedKeySpec(der));
    return new KeyPair(
        factory.generatePublic(new RSAPublicKeySpec(secret.getModulus(), secret.getPublicExponent())), secret);
  }

  private static String text(JsonNode call, String name) {
    return call.field(name).orElseThrow().asString();
  }
}
